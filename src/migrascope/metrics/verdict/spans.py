"""When a witness must have been heard, and how its findings are said."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from migrascope.model.verdict import Statement, Verdict

NS = 10**9


@dataclass(frozen=True)
class Times:
    """Stamps (ns) of a trial: the migration's request, and when it was over, well or badly; None where it was not."""

    request: int | None
    over: int | None

    def seconds(self, at_ns: int) -> float | None:
        """Seconds from the request."""
        return None if self.request is None else (at_ns - self.request) / NS

    def said(self, at_ns: int) -> str:
        """The same in words."""
        seconds = self.seconds(at_ns)
        return (
            "at an unknown time"
            if seconds is None
            else f"{abs(seconds):.2f} s {'before' if seconds < 0 else 'after'} the request"
        )

    def unheard(self, heard: Iterable[int]) -> str | None:
        """Why stamps of answers are not enough, or None: one before the request and one after the end are needed."""
        if self.request is None:
            return "no migration was asked for"
        if self.over is None or self.over < self.request:
            return "how the migration ended is not known"
        stamps = list(heard)
        if min(stamps, default=self.request) >= self.request:
            return "not heard before the migration"
        if max(stamps, default=self.over) <= self.over:
            return "not heard after the migration"
        return None

    def statement(self, witness: str, verdict: Verdict, text: str, span: tuple[int, int]) -> Statement:
        """What a witness saw in a span of stamps."""
        return Statement(witness, verdict, text, self.seconds(span[0]), self.seconds(span[1]))


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in words: 3, 5-9."""
    ordered = sorted(set(numbers))
    starts = [ordered[0], *(b for a, b in pairwise(ordered) if b != a + 1)]
    ends = [*(a for a, b in pairwise(ordered) if b != a + 1), ordered[-1]]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
