"""Statistics across trials: exact intervals of the median, paired differences, correlation with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

LEVEL = 0.95
FEWEST = 6
"""Below this many trials there is no interval: five give a coverage of 93.75 % at best."""


@dataclass(frozen=True)
class Interval:
    """low and high with the coverage that the interval truly has."""

    low: float
    high: float
    coverage: float


def median_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The narrowest pair of order statistics, equally far from both ends, that covers the median with `level` or more.

    Exact for any continuous distribution: k values from each end cover with 1 - 2 P(Bin(n, 1/2) < k). None below six.
    """
    n = len(values)
    if n < FEWEST:
        return None
    ordered = sorted(values)
    k = max(k for k in range(1, n // 2 + 1) if _coverage(n, k) >= level)
    return Interval(ordered[k - 1], ordered[n - k], _coverage(n, k))


def _coverage(n: int, k: int) -> float:
    below = sum(math.comb(n, successes) for successes in range(k))
    return 1 - 2 * below / float(2**n)


@dataclass(frozen=True)
class Paired:
    """Differences within blocks: their median, its interval (None below six) and how many there are."""

    median: float
    interval: Interval | None
    n: int

    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of zero, else 0."""
        if self.interval is None:
            return 0
        return 1 if self.interval.low > 0 else -1 if self.interval.high < 0 else 0


def paired_difference(ours: dict[int, float], others: dict[int, float]) -> Paired | None:
    """Ours minus others over the blocks (keys) that both have; None where they share none."""
    differences = [ours[block] - others[block] for block in sorted(ours.keys() & others.keys())]
    if not differences:
        return None
    return Paired(float(np.median(differences)), median_interval(differences), len(differences))


def shift_interval(ours: Sequence[float], others: Sequence[float]) -> tuple[float, Interval | None]:
    """By how much ours lie above others: the median of all differences (Hodges and Lehmann 1963) with the interval of
    order statistics by the exact distribution of Mann and Whitney's U; None below six on either side."""
    m, n = len(ours), len(others)
    differences = np.sort(np.subtract.outer(ours, others).ravel())
    median = float(np.median(differences))
    if min(m, n) < FEWEST:
        return median, None
    counts = _rank_sum_counts(m, n)
    tails = np.cumsum(counts) / counts.sum()
    k = int(np.searchsorted(tails, (1 - LEVEL) / 2, side="right")) - 1
    return median, Interval(float(differences[k]), float(differences[m * n - 1 - k]), 1 - 2 * float(tails[k]))


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
