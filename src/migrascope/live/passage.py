"""How memory went over in an earlier migration: its first copy, by how far it was, and what was sent again later.

Some memory takes longer than other: what compresses well goes faster than what does not, and what a guest writes may be
of another kind than what it holds.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from migrascope.live.history import Look, looks, stood_still
from migrascope.live.sample import Sample
from migrascope.mechanism.rules import HEADER, PAGE

TELLING = 4_000_000
"""Bytes of memory that must have gone over to tell how fast such memory goes: half a look's at 100 MB/s."""


class Moved(NamedTuple):
    """Bytes of memory that hold something, of them on the link, and how long they took."""

    data: float = 0.0
    link: float = 0.0
    took_s: float = 0.0

    def plus(self, other: "Moved", times: float = 1.0) -> "Moved":
        return Moved(self.data + times * other.data, self.link + times * other.link, self.took_s + times * other.took_s)

    @property
    def tells(self) -> bool:
        """Whether it says how such memory goes."""
        return self.data >= TELLING and self.took_s > 0 and self.link > 0


def total(moves: Iterable[Moved]) -> Moved:
    """All of them together."""
    found = Moved()
    for moved in moves:
        found = found.plus(moved)
    return found


@dataclass(frozen=True)
class Passage:
    """at: how many bytes of memory had been dealt with, in rising order; first: all that had gone over by then, in the
    first copy. again: what went over later."""

    at: tuple[int, ...]
    first: tuple[Moved, ...]
    again: Moved

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        """Of a migration's samples. QEMU does not answer while the guest stands still: what went over then counts as
        fast on the link as its first copy was."""
        moves = [(look, Moved(look.data, look.link, look.took_s)) for look in looks(samples)]
        whole = total(moved for look, moved in moves if not look.again)
        stood = stood_still(samples)
        if stood is not None and whole.tells:
            link = stood.link - (HEADER + 1) / PAGE * stood.zeros
            moves.append((stood, Moved(stood.data, link, link * whole.took_s / whole.link)))
        at, first = [0], [Moved()]
        for look, moved in moves:
            if not look.again:
                # empty memory between two looks takes none of their time
                at += [max(look.begin, at[-1]), max(look.end, at[-1])]
                first += [first[-1], first[-1].plus(moved)]
        return cls(tuple(at), tuple(first), total(moved for look, moved in moves if look.again))

    @property
    def tells(self) -> bool:
        """Whether its first copy does."""
        return self.first[-1].tells

    def by(self, dealt: float) -> Moved:
        """What of the first copy had gone over when so many bytes of memory had been dealt with."""
        right = bisect_right(self.at, dealt)
        if right == len(self.at):
            return self.first[-1]
        old, new = self.at[right - 1], self.at[right]
        share = (dealt - old) / (new - old)
        return self.first[right - 1].plus(self.first[right].plus(self.first[right - 1], -1), share)


def between(passages: Sequence[Passage], begin: float, end: float = float("inf")) -> Moved:
    """What of first copies went over between these, of all of them together; all there is where that tells too
    little."""
    found = total(passage.by(end).plus(passage.by(begin), -1) for passage in passages)
    return found if found.tells else total(passage.first[-1] for passage in passages)


def again(passages: Sequence[Passage]) -> Moved | None:
    """What was sent again in all of them; None where that tells too little."""
    found = total(passage.again for passage in passages)
    return found if found.tells else None


def ahead(passages: Sequence[Passage], dealt: float, rounds: int | None) -> Moved:
    """How what is left goes, after so many bytes and in that round: as the rest of first copies did, or what was sent
    again, where that tells enough."""
    later = again(passages) if (rounds or 1) > 1 else None
    return later or between(passages, dealt)


def slower(passages: Sequence[Passage], seen: Iterable[Look], learnt_s: float) -> float:
    """How many times as long the same memory took in these looks as it did in those migrations. learnt_s: for how many
    seconds it counts that it takes as long."""
    took_s = expected_s = learnt_s
    later = again(passages)
    for look in seen:
        moved = later if look.again and later else between(passages, look.begin, look.end)
        if moved.tells and look.data > 0:
            took_s += look.took_s
            expected_s += look.data * moved.took_s / moved.data
    return took_s / expected_s if expected_s > 0 else 1.0
