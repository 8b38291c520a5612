import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from migrascope.analysis.statistics import correlation, median_interval, paired_difference


@pytest.mark.parametrize(
    ("n", "low", "high", "coverage"),
    [(6, 1, 6, 0.96875), (7, 1, 7, 0.984375), (8, 1, 8, 0.9921875), (9, 2, 8, 0.9609375), (10, 2, 9, 0.978515625),
     (12, 3, 10, 0.96142578125), (20, 6, 15, 0.9586105346679688), (25, 8, 18, 0.9567147493362427)],
)  # fmt: skip
def test_intervals_of_the_median_are_the_tabled_ones(n: int, low: int, high: int, coverage: float) -> None:
    interval = median_interval([float(value) for value in range(n, 0, -1)])
    assert interval is not None
    assert (interval.low, interval.high) == (low, high)
    assert interval.coverage == pytest.approx(coverage, abs=1e-12)


@pytest.mark.parametrize("n", range(6))
def test_below_six_there_is_no_interval(n: int) -> None:
    assert median_interval([1.0] * n) is None


@pytest.mark.parametrize("n", [6, 9, 11])
def test_coverage_is_true_by_enumeration(n: int) -> None:
    """Each value is below the median or above it with one half: count how often the interval holds it."""
    interval = median_interval([float(value) for value in range(1, n + 1)])
    assert interval is not None
    held = sum(
        interval.low <= below <= interval.high - 1 for below in (sum(s) for s in itertools.product((0, 1), repeat=n))
    )
    assert interval.coverage == pytest.approx(held / 2**n)


@given(st.lists(st.floats(-1e9, 1e9), min_size=6, max_size=60))
def test_the_interval_holds_the_sample_median_and_is_the_narrowest(values: list[float]) -> None:
    interval = median_interval(values)
    assert interval is not None
    assert interval.low <= np.median(values) <= interval.high
    assert interval.coverage >= 0.95
    n = len(values)
    k = next(k for k in range(n // 2, 0, -1) if 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n >= 0.95)
    assert interval.low == sorted(values)[k - 1]


def test_differences_are_paired_within_the_blocks_that_both_have() -> None:
    seen = paired_difference({1: 5.0, 2: 6.0, 3: 9.0, 9: 100.0}, {1: 1.0, 2: 1.0, 3: 1.0, 8: -50.0})
    assert seen is not None
    assert (seen.median, seen.n, seen.interval, seen.sign()) == (5.0, 3, None, 0)
    assert paired_difference({1: 1.0}, {2: 1.0}) is None


@pytest.mark.parametrize(("shift", "sign"), [(1.0, 1), (-1.0, -1), (0.0, 0)])
def test_the_sign_of_a_difference_is_said_only_when_the_interval_says_it(shift: float, sign: int) -> None:
    others = {block: float(block % 3) for block in range(8)}
    ours = {block: value + shift + (0.1 if block % 2 else -0.1) for block, value in others.items()}
    seen = paired_difference(ours, others)
    assert seen is not None
    assert seen.sign() == sign


@given(
    st.lists(
        st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=6, max_size=40, unique_by=lambda p: p[0]
    )
)
def test_correlation_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = [p[0] for p in pairs], [p[1] for p in pairs]
    if len(set(y)) < 2:
        return
    seen = correlation(x, y)
    assert seen is not None
    assert seen.spearman == pytest.approx(stats.spearmanr(x, y).statistic)
    assert seen.pearson == pytest.approx(stats.pearsonr(x, y).statistic)
    assert seen.low <= seen.spearman + 1e-9
    assert seen.high >= seen.spearman - 1e-9


def test_the_interval_of_a_correlation_covers_as_often_as_it_says() -> None:
    """Monte Carlo: with rho = 0 the interval excludes it in about 5 % of the samples."""
    chance = np.random.default_rng(7)
    wrong = 0
    for _ in range(400):
        seen = correlation(chance.normal(size=20).tolist(), chance.normal(size=20).tolist())
        assert seen is not None
        wrong += seen.sign() != 0
    assert 6 <= wrong <= 40


def test_a_slope_is_in_the_units_of_y_over_x() -> None:
    x = [1e8, 2e8, 3e8, 4e8, 5e8, 6e8]
    seen = correlation(x, [value / 1e8 + 0.5 for value in x])
    assert seen is not None
    assert seen.slope == pytest.approx(1e-8)
    assert correlation(x, [1.0] * 6) is None
    assert correlation(x[:5], x[:5]) is None
