"""What the samples of a migration say so far: its rounds, what the guest dirtied in each, how fast memory goes over."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, Self

from migrascope.live.sample import POST_COPY, Sample
from migrascope.mechanism.rules import Judge

RECENT_S = 1.0
"""How far back a rate is taken from."""
KEPT = 32
"""Rounds that are remembered."""
LEARNT_S = 0.5
"""How long a look at the speed weighs as much as what earlier migrations showed."""
_ANSWERING = ("active", *POST_COPY)
"""Once a guest stands still, QEMU answers late, and what passes is not its sending alone."""


class Look(NamedTuple):
    """What went over between two samples. begin, end: bytes of memory that had been dealt with. data, zeros: of what
    went over, what holds something and what does not, link: bytes on the link. again: whether the first copy was made
    before."""

    took_s: float
    begin: int
    end: int
    data: int
    zeros: int
    link: int
    again: bool


@dataclass(frozen=True)
class Turn:
    """From one look at the dirty bitmap to the next that was seen.

    at_s: when it was, or where that is not known, was first seen. took_s: since the look before. left: bytes that the
    old round had not sent. dirtied: bytes that the look added. remaining: bytes to be sent after it. throttle: share of
    the time for which the guest was held. held: bytes of memory that hold something, of which the left ones are, in the
    first copy; later they are of what the guest writes to, and this is 0.
    """

    at_s: float
    took_s: float
    left: int
    dirtied: int
    remaining: int
    throttle: float = 0.0
    held: int = 0


@dataclass(frozen=True)
class History:
    """recent: the samples of the last RECENT_S, the newest last. turns: the rounds that are over, the newest last.
    round_s: when the running round began. rounds: how many have begun. first: the first sample. judge: by what QEMU
    slows the guest, as far as it can be seen; on_link: bytes on the link at its last look. since_s: when what it sends
    was last of another kind: its beginning, or the switch to post-copy; before_Bps: how fast memory went over then."""

    recent: tuple[Sample, ...]
    turns: tuple[Turn, ...]
    round_s: float
    rounds: int
    first: Sample
    judge: Judge
    on_link: int = 0
    since_s: float = 0.0
    before_Bps: float | None = None

    @classmethod
    def of(cls, sample: Sample) -> Self:
        """Of the first sample."""
        begun_s = sample.at_s if sample.looked_s is None else min(sample.at_s, sample.looked_s)
        judge = Judge(begun_s, throttle=sample.throttle)
        return cls((sample,), (), begun_s, sample.rounds or 1, sample, judge, since_s=sample.at_s)

    @property
    def last(self) -> Sample:
        return self.recent[-1]

    def then(self, sample: Sample) -> Self:
        """With one more sample. One that is older than the last is left out, and so is one of Nova's that says what the
        last did: it is asked more often than it counts, every 5 s."""
        last = self.last
        if sample.at_s <= last.at_s or (not sample.sent_is_exact and _counts(sample) == _counts(last)):
            return self
        recent = (*(earlier for earlier in self.recent if earlier.at_s >= sample.at_s - RECENT_S), sample)
        if len(recent) == 1:
            recent = (last, sample)
        grown = replace(self, recent=recent, judge=self.judge._replace(throttle=sample.throttle))
        if sample.state in POST_COPY and last.state not in POST_COPY:
            # single pages may take another time than a stream
            grown = replace(grown, recent=(last, sample), since_s=last.at_s, before_Bps=self.speed_Bps())
        return grown._turned(last, sample) if self._has_turned(last, sample) else grown

    def _has_turned(self, last: Sample, sample: Sample) -> bool:
        if sample.rounds is not None:
            return sample.rounds > self.rounds
        return sample.remaining > last.remaining

    def _turned(self, last: Sample, sample: Sample) -> Self:
        at_s = sample.at_s if sample.looked_s is None else min(sample.at_s, max(last.at_s, sample.looked_s))
        before = (at_s - last.at_s) / (sample.at_s - last.at_s)
        sent = max(0, sample.sent - last.sent)
        # empty pages are of the first copy, and go over before the look that ends it
        empty = min(sent, max(0, sample.zero_bytes - last.zero_bytes))
        left = max(0, last.remaining - empty - round(before * (sent - empty)))
        dirtied = max(0, sample.remaining - last.remaining + sent)
        held = last.sent - last.zero_bytes + last.remaining - empty if self.rounds <= 1 else 0
        turn = Turn(at_s, at_s - self.round_s, left, dirtied, left + dirtied, last.throttle, held)
        rounds = sample.rounds if sample.rounds is not None else self.rounds + 1
        on_link = last.transferred + round(before * (sample.transferred - last.transferred))
        # what it has decided shows in the sample
        judge = self.judge.looked(at_s, on_link - self.on_link, dirtied, None)._replace(throttle=sample.throttle)
        return replace(
            self, turns=(*self.turns, turn)[-KEPT:], round_s=at_s, rounds=rounds, judge=judge, on_link=on_link
        )  # fmt: skip

    def speed_Bps(self, expected: float | None = None) -> float | None:
        """Bytes of guest memory that hold something and go over in a second, lately; None where too little is known.

        expected: what earlier migrations showed. At first it counts as much as half a second of looking, after a second
        nothing: the first megabytes only fill the sockets' buffers, and QEMU counts in steps. After the switch to
        post-copy it is what was seen before.
        """
        took, moved, _ = self._lately()
        expected = expected if self.before_Bps is None else self.before_Bps
        if took <= 0 or moved <= 0:
            return expected
        learnt_s = self.learnt_s() if expected is not None else 0.0
        return (moved + (expected or 0.0) * learnt_s) / (took + learnt_s)

    def learnt_s(self) -> float:
        """As how many seconds of looking counts what earlier migrations showed."""
        return max(0.0, LEARNT_S - (self.last.at_s - self.since_s) / 2)

    def link_Bps(self) -> float | None:
        """Bytes a second on the link, lately: that by which QEMU judges what fits into the downtime limit."""
        took, _, moved = self._lately()
        return moved / took if took > 0 and moved > 0 else None

    def _lately(self) -> tuple[float, int, int]:
        """(seconds, bytes of memory that hold something, bytes on the link) of these looks."""
        chosen = self.looks()
        return sum(look.took_s for look in chosen), sum(look.data for look in chosen), sum(look.link for look in chosen)

    def looks(self) -> list[Look]:
        """Those of late, without the ones between which nothing went over, since multifd waits for its channels at each
        look at the bitmap, and without those between which most was empty, unless there are no others: going through
        that takes time of its own."""
        return _telling([_look(old, new) for old, new in pairwise(self.recent)])

    def empty_s(self, speed_Bps: float) -> tuple[float, int]:
        """(seconds, bytes) of empty memory that was gone through lately."""
        return empty_s(self.recent, speed_Bps)

    def stalled_s(self) -> float:
        """For how long nothing has gone over the link, by the samples of the last RECENT_S; 0 where something has."""
        now = self.last
        still = [sample.at_s for sample in self.recent if sample.transferred == now.transferred]
        return now.at_s - min(still)

    def lately(self, seconds: float) -> tuple[Turn, ...]:
        """The last rounds that took so long together, or all there are."""
        total = 0.0
        for at, turn in enumerate(reversed(self.turns), start=1):
            total += turn.took_s
            if total >= seconds:
                return self.turns[-at:]
        return self.turns


def empty_s(samples: Sequence[Sample], speed_Bps: float) -> tuple[float, int]:
    """(seconds, bytes) of empty memory that was gone through, by looks between which most was empty; without the time
    that the rest of those took at that speed."""
    moved = [_look(old, new) for old, new in pairwise(samples) if new.state in _ANSWERING]
    looks = [(look.took_s - look.data / speed_Bps, look.zeros) for look in moved if look.zeros > look.data]
    return max(0.0, sum(took for took, _ in looks)), sum(zeros for _, zeros in looks)


def looks(samples: Sequence[Sample]) -> list[Look]:
    """Likewise of a whole migration, until the guest stands still."""
    return _telling([_look(old, new) for old, new in pairwise(samples) if new.state == "active"])


def stood_still(samples: Sequence[Sample]) -> Look | None:
    """From the last sample of a guest that ran, in pre-copy, to the end; None where there is none."""
    ran = [sample for sample in samples[:-1] if sample.state == "active"]
    if not ran or any(sample.state in POST_COPY for sample in samples):
        return None
    return _look(ran[-1], samples[-1])


def _telling(found: Sequence[Look]) -> list[Look]:
    spans = [look for look in found if look.link > 0]
    return [look for look in spans if look.zeros <= look.data] or spans


def _look(old: Sample, new: Sample) -> Look:
    zeros, link = new.zero_bytes - old.zero_bytes, new.transferred - old.transferred
    data = new.sent - old.sent - zeros
    if not new.sent_is_exact:
        data, zeros = old.remaining - new.remaining, 0
    return Look(new.at_s - old.at_s, old.sent, new.sent, data, zeros, link, (old.rounds or 1) > 1)


def _counts(sample: Sample) -> tuple[int, int]:
    return sample.remaining, sample.transferred
