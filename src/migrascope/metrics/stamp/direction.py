"""Which way packets were lost (RFC 7680), from two counts: the sender's and the reflector's own."""

from dataclasses import dataclass

import numpy as np

from migrascope.metrics.packets import Ints
from migrascope.metrics.stamp.probes import Probes


@dataclass(frozen=True)
class Gap:
    """Packets without an answer (their places in the order of sending) between two answers that came in order. out:
    how many of them never came to the reflector, None where no later answer says it; the answers to the others were
    lost."""

    places: Ints
    out: int | None


class Uncountable(ValueError):
    """The reflector's numbers do not say what was lost; the message is why."""


def gaps(probes: Probes) -> list[Gap]:
    """Every gap. Between two answers that nothing overtook, m packets have no answer and the reflector's count leaves b
    answers out: b were lost on the way back and m - b on the way out.

    Uncountable where something was lost and the reflector answered more often than it can have been asked.
    """
    seq, number = probes.answers.seq, probes.answers.number
    unanswered = np.flatnonzero(~probes.answered)
    if not len(unanswered):
        return []
    if (np.diff(number) == 0).any():
        raise Uncountable("the reflector began to count anew")
    in_order = (np.maximum.accumulate(seq) == seq) & (np.minimum.accumulate(seq[::-1])[::-1] == seq)
    missing_seq = probes.seq[unanswered]
    found = []
    before_seq, before_number, before_row = -1, -1, -1
    for row in np.flatnonzero(in_order).tolist():
        first, last = np.searchsorted(missing_seq, (before_seq, int(seq[row])))
        back = int(number[row]) - before_number - (row - before_row)
        if back > last - first:
            raise Uncountable(
                "packets were doubled, or overtaken and lost: the reflector's count does not say which way"
            )
        if last > first:
            found.append(Gap(unanswered[first:last], int(last - first) - back))
        before_seq, before_number, before_row = int(seq[row]), int(number[row]), row
    rest = unanswered[np.searchsorted(missing_seq, before_seq) :]
    return [*found, Gap(rest, None)] if len(rest) else found


@dataclass(frozen=True)
class Lost:
    """Packets of a window that were lost, and how many of them on the way out: from out_low to out_high, a range where
    a gap in which packets were lost both ways reaches over the window's end. unknown: those of which nothing is
    known."""

    total: int
    out_low: int
    out_high: int
    unknown: int


def lost(found: list[Gap], first: int, last: int) -> Lost:
    """Of the packets at the places [first, last)."""
    total = low = high = unknown = 0
    for gap in found:
        here = int(((gap.places >= first) & (gap.places < last)).sum())
        total += here
        if gap.out is None:
            unknown += here
        else:
            low += max(0, here - (len(gap.places) - gap.out))
            high += min(here, gap.out)
    return Lost(total, low, high, unknown)
