"""When a window is steady: the same rule for the wait before a migration and for the check of its recording."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

NS = 1_000_000_000
IN_TIME_NS = 100_000_000
"""A visit that was answered later than this after it was due is late."""
IN_TIME_SHARE = 0.99
"""The least share of the visits of a kind, and of the probes, that a steady window has in time."""
TREND_NS = 20_000_000
"""The most by which the median answer of a window's second half may be later than that of its first half."""
OUTAGE_FACTOR = 5
"""A silence between replies is an outage where it is longer than so many times the p99 of a steady window."""


@dataclass(frozen=True)
class Due:
    """A visit: when it was due and when it was answered whole (mono ns), 0 where it was not."""

    due_ns: int
    done_ns: int


def in_time_share(visits: Iterable[Due], expected: float) -> float:
    """The share of the visits due in a window that were answered in time. expected: how many were due, for those that
    have left no trace yet."""
    good = sum(1 for visit in visits if 0 < visit.done_ns <= visit.due_ns + IN_TIME_NS)
    return min(1.0, good / expected) if expected > 0 else 1.0


def unsteady(
    visits: list[Due], from_ns: int, until_ns: int, rate: float, *, loaded: bool = False, spare: int = 0
) -> str | None:
    """Why visits of one kind that were due in [from, until) are not steady, in words; None where they are.

    rate: visits a second that were to come. loaded: the guest bears a load that the plan declares, so that late answers
    belong to it: they must come, and not later and later. spare: so many late visits are nothing, because a share of
    99 % cannot be told from fewer than a hundred.
    """
    there = [visit for visit in visits if from_ns <= visit.due_ns < until_ns]
    expected = max(len(there), int(rate * (until_ns - from_ns) / NS))
    answered = [visit for visit in there if visit.done_ns]
    share = len(answered) / expected if loaded and expected else in_time_share(there, expected)
    if share < IN_TIME_SHARE and round(share * expected) + spare < expected:
        return f"{100 * share:.0f} % of visits {'answered' if loaded else 'in time'}"
    middle = (from_ns + until_ns) // 2
    halves = [[v.done_ns - v.due_ns for v in answered if (v.due_ns < middle) == first] for first in (True, False)]
    if all(halves):
        first, second = (median(half) for half in halves)
        if second - first > max(TREND_NS, first):
            return f"answers later and later: {first / 1e6:.0f}, then {second / 1e6:.0f} ms"
    return None
