"""Statistics across trials: exact intervals of the median, differences paired within blocks and between runs, families
of comparisons."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist, median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from migrascope.analysis.results import Statistic
from migrascope.model.measured import Measured

LEVEL = 0.95
FEWEST = 6
"""Below this many trials there is no interval: five give a coverage of 93.75 % at best."""


class Bounds(NamedTuple):
    """What is known of a value: it is no less than low and no more than high. Both are the same for one that was
    measured; high is infinite for one that was cut off."""

    low: float
    high: float


Value = float | Bounds
"""A value that was measured, or what is known of one."""


def bounds_of(measured: Measured | None) -> Bounds | None:
    """What a trial knows of a figure; None where it was not measured."""
    if measured is None or measured.value is None:
        return None
    return Bounds(measured.value, math.inf if measured.at_least else measured.value)


def ends(values: Iterable[Value]) -> tuple[list[float], list[float]]:
    """The least and the most that each value can be. An order statistic of the least ones is no more than the true one,
    and one of the most no less: where both are the same, it is known."""
    known = list(values)
    return (
        [value.low if isinstance(value, Bounds) else value for value in known],
        [value.high if isinstance(value, Bounds) else value for value in known],
    )


@dataclass(frozen=True)
class Interval:
    """low and high with the coverage that the interval truly has; infinite where nothing bounds it."""

    low: float
    high: float
    coverage: float

    def as_json(self) -> dict[str, float | None]:
        """For programs: an end that nothing bounds is null."""
        return {name: None if math.isinf(value) else value for name, value in vars(self).items()}


def median_interval(values: Sequence[Value], level: float = LEVEL) -> Interval | None:
    """The narrowest pair of order statistics, equally far from both ends, that covers the median with `level` or more.
    An end that falls on a value that was cut off is as far out as that value can be.

    Exact for any continuous distribution: k values from each end cover with 1 - 2 P(Bin(n, 1/2) < k). None below six.
    """
    n = len(values)
    if n < FEWEST:
        return None
    least, most = map(sorted, ends(values))
    k = max(k for k in range(1, n // 2 + 1) if _coverage(n, k) >= level)
    return Interval(least[k - 1], most[n - k], _coverage(n, k))


def median_of(values: Sequence[Value]) -> float | None:
    """The median; None where it falls on a value that was cut off."""
    least, most = (float(median(side)) for side in ends(values))
    return least if least == most else None


@cache
def _coverage(n: int, k: int) -> float:
    below = sum(math.comb(n, successes) for successes in range(k))
    return 1 - 2 * below / float(2**n)


def statistic(measured: Sequence[Measured]) -> Statistic:
    """One metric over the trials of a cell that did not fail."""
    there = [figure for figure in measured if figure.value is not None]
    if not there:
        reasons = Counter(figure.reason for figure in measured)
        reason = reasons.most_common(1)[0][0] if reasons else "every trial failed"
        unit, source = (measured[0].unit, measured[0].source) if measured else ("", "")
        return Statistic(unit, source, reason=reason)
    values = [known for figure in there if (known := bounds_of(figure)) is not None]
    lowest, highest = ends(values)
    least = _numbers(lowest)
    most = least if lowest == highest else _numbers(highest)
    return replace(
        least,
        unit=there[0].unit,
        source=there[0].source,
        n=len(values),
        censored=sum(figure.at_least for figure in there),
        at_least=tuple(name for name in _NUMBERS if getattr(least, name) != getattr(most, name)),
    )


_NUMBERS = ("median", "low", "high", "min", "max")


def _numbers(values: Sequence[float]) -> Statistic:
    found = median_interval(values)
    low, high, coverage = (found.low, found.high, found.coverage) if found else (None, None, None)
    return Statistic("", "", float(median(values)), low, high, coverage, min(values), max(values))


@dataclass(frozen=True)
class Paired:
    """Differences within blocks: their median (None where it falls on one of which a side was cut off), its interval
    (None below six) and how many there are."""

    median: float | None
    interval: Interval | None
    n: int

    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of zero, else 0."""
        if self.interval is None:
            return 0
        return 1 if self.interval.low > 0 else -1 if self.interval.high < 0 else 0


def paired_difference(ours: Mapping[int, Value], others: Mapping[int, Value]) -> Paired | None:
    """Ours minus others over the blocks (keys) that both have; None where they share none."""
    differences = [_less(ours[block], others[block]) for block in sorted(ours.keys() & others.keys())]
    if not differences:
        return None
    return Paired(median_of(differences), median_interval(differences), len(differences))


def _less(value: Value, other: Value) -> Bounds:
    """One less the other: of two that were cut off nothing is known, of one its sign may be."""
    (low,), (high,) = ends([value])
    (other_low,), (other_high,) = ends([other])
    return Bounds(low - other_high, high - other_low)


def median_difference(ours: Sequence[Value], others: Sequence[Value]) -> tuple[float | None, Interval | None]:
    """By how much the median of ours lies above that of others (None where one of them was cut off), with an interval:
    from the low end of ours less the high end of others to the opposite; None below six on either side.

    It covers with at least the lesser coverage of the two, whatever the spreads and shapes of the two are
    (docs/decisions/0019-inference.md): nothing is assumed but that trials are drawn alike within each side.
    """
    medians, intervals = [median_of(ours), median_of(others)], [median_interval(ours), median_interval(others)]
    middle = None if medians[0] is None or medians[1] is None else medians[0] - medians[1]
    if intervals[0] is None or intervals[1] is None:
        return middle, None
    interval, other = intervals[0], intervals[1]
    return middle, Interval(
        interval.low - other.high, interval.high - other.low, min(interval.coverage, other.coverage)
    )


def rank_sum_p(ours: Sequence[Value], others: Sequence[Value]) -> float:
    """Two-sided p of Mann and Whitney's U (1947) for two sides that are drawn alike: exact to 100 on either side, by
    the normal distribution beyond. A pair that is equal, or of which a cut-off value leaves the order open, speaks
    against either direction: p is then too large, never too small."""
    m, n = len(ours), len(others)
    least, most = ends(ours)
    other_least, other_most = ends(others)
    above = int(np.greater.outer(least, other_most).sum())
    below = int(np.less.outer(most, other_least).sum())
    return min(1.0, 2 * _upper_tail(max(above, below), m, n))


_EXACT = 100
"""Up to so many on either side the distribution of U is computed exactly."""


def _upper_tail(u: int, m: int, n: int) -> float:
    """P(U >= u)."""
    if max(m, n) > _EXACT:
        spread = math.sqrt(m * n * (m + n + 1) / 12)
        return 1 - NormalDist().cdf((u - 0.5 - m * n / 2) / spread)
    return float(_rank_sum_counts(m, n)[: m * n - u + 1].sum()) / math.comb(m + n, m)


@cache
def _rank_sum_counts(m: int, n: int) -> NDArray[np.float64]:
    """In how many arrangements U takes each of 0 to mn: the coefficients of the Gaussian binomial, symmetric."""
    counts = np.zeros(m * n + 1)
    counts[0] = 1
    for i in range(1, m + 1):
        counts[n + i :] -= counts[: max(0, m * n + 1 - n - i)].copy()
        for rest in range(i):
            counts[rest::i] = np.cumsum(counts[rest::i])
    half = len(counts) // 2
    counts[len(counts) - half :] = counts[:half][::-1]
    return counts


def adjusted(p: Sequence[float]) -> list[float]:
    """Each p for a family of comparisons (Benjamini and Hochberg 1995): calling those up to q a difference makes at
    most the share q of the differences false in the mean, and none at all in 1 - q of families without any."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)[::-1]
    least = np.minimum.accumulate(values[order] * len(values) / np.arange(len(values), 0, -1))
    found = np.empty(len(values))
    found[order] = np.minimum(1.0, least)
    return [float(each) for each in found]
