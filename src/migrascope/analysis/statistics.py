"""Statistics across trials: exact intervals of the median, paired differences, correlation with its interval."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from migrascope.analysis.summary import Statistic
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
    known = [value if isinstance(value, Bounds) else Bounds(value, value) for value in values]
    return [value.low for value in known], [value.high for value in known]


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
    least, most = (float(np.median(side)) for side in ends(values))
    return least if least == most else None


def _coverage(n: int, k: int) -> float:
    below = sum(math.comb(n, successes) for successes in range(k))
    return 1 - 2 * below / float(2**n)


def statistic(measured: Sequence[Measured]) -> Statistic:
    """One metric over the trials of a cell that did not fail."""
    there = [one for one in measured if one.value is not None]
    if not there:
        reasons = Counter(one.reason for one in measured)
        reason = reasons.most_common(1)[0][0] if reasons else "every trial failed"
        unit, source = (measured[0].unit, measured[0].source) if measured else ("", "")
        return Statistic(unit, source, reason=reason)
    values = [known for one in there if (known := bounds_of(one)) is not None]
    least, most = (_numbers(side) for side in ends(values))
    return replace(
        least,
        unit=there[0].unit,
        source=there[0].source,
        n=len(values),
        censored=sum(one.at_least for one in there),
        at_least=tuple(name for name in _NUMBERS if getattr(least, name) != getattr(most, name)),
    )


_NUMBERS = ("median", "low", "high", "min", "max")


def _numbers(values: Sequence[float]) -> Statistic:
    found = median_interval(values)
    low, high, coverage = (found.low, found.high, found.coverage) if found else (None, None, None)
    return Statistic("", "", float(np.median(values)), low, high, coverage, min(values), max(values))


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


def _less(one: Value, other: Value) -> Bounds:
    """One less the other: of two that were cut off nothing is known, of one its sign may be."""
    (low,), (high,) = ends([one])
    (other_low,), (other_high,) = ends([other])
    return Bounds(low - other_high, high - other_low)


def shift_interval(ours: Sequence[Value], others: Sequence[Value]) -> tuple[float | None, Interval | None]:
    """By how much ours lie above others: the median of all differences (Hodges and Lehmann 1963; None where it falls on
    one that was cut off) with the interval of order statistics by the exact distribution of Mann and Whitney's U; None
    below six on either side."""
    m, n = len(ours), len(others)
    differences = [_less(one, other) for one in ours for other in others]
    median = median_of(differences)
    if min(m, n) < FEWEST:
        return median, None
    counts = _rank_sum_counts(m, n)
    tails = np.cumsum(counts) / counts.sum()
    k = int(np.searchsorted(tails, (1 - LEVEL) / 2, side="right")) - 1
    least, most = map(sorted, ends(differences))
    return median, Interval(least[k], most[m * n - 1 - k], 1 - 2 * float(tails[k]))


def _rank_sum_counts(m: int, n: int) -> NDArray[np.float64]:
    """In how many arrangements U takes each of 0 to mn: the coefficients of the Gaussian binomial."""
    counts = np.zeros(m * n + 1)
    counts[0] = 1
    for i in range(1, m + 1):
        for at in range(m * n, n + i - 1, -1):
            counts[at] -= counts[at - n - i]
        for at in range(i, m * n + 1):
            counts[at] += counts[at - i]
    return counts


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its interval, Pearson's, and the Theil-Sen slope of y over x with its own."""

    spearman: float
    low: float
    high: float
    pearson: float
    slope: float
    slope_low: float
    slope_high: float
    n: int

    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of zero, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def correlation(x: Sequence[float], y: Sequence[float]) -> Correlation | None:
    """95 % interval of Spearman's by Fisher's z with Bonett and Wright's standard error, sqrt((1 + r^2/2) / (n - 3)).

    None below six pairs, or where x or y is constant.
    """
    n = len(x)
    if n < FEWEST or len(set(x)) < 2 or len(set(y)) < 2:
        return None
    rank = _pearson(_ranks(x), _ranks(y))
    inner = min(max(rank, -1 + 1e-9), 1 - 1e-9)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt((1 + inner**2 / 2) / (n - 3))
    low, high = math.tanh(math.atanh(inner) - half), math.tanh(math.atanh(inner) + half)
    return Correlation(rank, low, high, _pearson(x, y), *_theil_sen(x, y), n)


def _pearson(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Sequence[float]) -> list[float]:
    return pl.Series(values, dtype=pl.Float64).rank("average").to_list()


def _theil_sen(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """The median slope over all pairs that differ in x, and its 95 % interval by the variance of Kendall's S without
    ties (Theil 1950, Sen 1968)."""
    across, up = np.subtract.outer(x, x), np.subtract.outer(y, y)
    pairs = np.triu(across != 0)
    slopes = np.sort(up[pairs] / across[pairs])
    n, count = len(x), len(slopes)
    spread = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, round((count - spread) / 2) - 1)
    high = min(count - 1, round((count + spread) / 2))
    return float(np.median(slopes)), float(slopes[low]), float(slopes[high])
