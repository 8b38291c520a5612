import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import scipy_stats
from numpy.typing import NDArray

from migrascope.analysis.statistics import (
    Bounds,
    Interval,
    adjusted,
    median_difference,
    median_interval,
    paired_difference,
    rank_sum_p,
)


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


SHAPES: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "narrow": lambda chance, size: chance.normal(0, 1, size),
    "wide": lambda chance, size: chance.normal(0, 10, size),
    "skewed": lambda chance, size: chance.standard_exponential(size) - math.log(2),
    "far below, close above": lambda chance, size: _lopsided(chance.uniform(-1, 1, size)),
    "close below, far above": lambda chance, size: -_lopsided(chance.uniform(-1, 1, size)),
}
"""Of median zero; the last two are those under which the interval of a difference is shortest of what it needs."""


def _lopsided(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values < 0, 1e3 * values, 1e-3 * values)


@pytest.mark.parametrize(("ours", "others"), list(itertools.product(SHAPES, SHAPES)))
@pytest.mark.parametrize(("m", "n"), [(6, 6), (6, 9)])
def test_a_difference_of_medians_covers_as_it_says_whatever_the_spreads(ours: str, others: str, m: int, n: int) -> None:
    chance, runs, held, stated = np.random.default_rng(5), 400, 0, 0.96875 if n == 6 else 0.9609375
    for _ in range(runs):
        item, other = SHAPES[ours](chance, m).tolist(), SHAPES[others](chance, n).tolist()
        _, interval = median_difference(item, other)
        assert interval is not None
        assert interval.coverage == pytest.approx(stated)
        held += interval.low <= 0 <= interval.high
    assert scipy_stats().binomtest(held, runs, stated, alternative="less").pvalue > 1e-4


def test_a_difference_of_medians_has_them_and_no_interval_below_six() -> None:
    assert median_difference([5.0, 6.0, 9.0], [1.0, 1.0, 1.0]) == (5.0, None)
    effect, interval = median_difference([10.0 + at for at in range(6)], [float(at) for at in range(6)])
    assert (effect, interval) == (10.0, Interval(5.0, 15.0, 0.96875))


@given(
    st.lists(st.floats(-9, 9), min_size=1, max_size=12),
    st.lists(st.floats(10, 30), min_size=1, max_size=12),
    st.integers(-20, 5),
)
def test_the_rank_test_is_that_of_scipy(low: list[float], high: list[float], shift: int) -> None:
    ours, others = low, [value + shift for value in high]
    if len({*ours, *others}) < len(ours) + len(others):
        return
    assert rank_sum_p(ours, others) == pytest.approx(scipy_stats().mannwhitneyu(ours, others, method="exact").pvalue)


def test_ties_and_cut_off_values_make_the_rank_test_say_less() -> None:
    assert rank_sum_p([1.0] * 6, [2.0] * 6) == pytest.approx(2 / 924)
    assert rank_sum_p([1.0] * 6, [1.0] * 6) == 1.0
    never = Bounds(4.2, math.inf)
    assert rank_sum_p([never] * 6, [1.0] * 6) == pytest.approx(2 / 924)
    assert rank_sum_p([never] * 6, [5.0] * 6) == 1.0
    assert rank_sum_p([1.0] * 150, [2.0] * 150) < 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_family_s_p_is_that_of_scipy(p: list[float]) -> None:
    assert adjusted(p) == pytest.approx(scipy_stats().false_discovery_control(p).tolist())
    assert adjusted([]) == []


@pytest.mark.parametrize("together", [0.0, 0.8, 1.0])
def test_two_runs_of_the_same_show_a_difference_in_one_of_twenty_at_most(together: float) -> None:
    """Four cells of 16 figures, which go together in three layers, six blocks each: one difference is one too many."""
    chance, runs, wrong = np.random.default_rng(8), 200, 0
    for _ in range(runs):
        sides = [
            [
                math.sqrt(together) * layers[figure % 3] + math.sqrt(1 - together) * chance.normal(size=6)
                for layers in chance.standard_t(3, (4, 3, 6))
                for figure in range(16)
            ]
            for _ in range(2)
        ]
        family = adjusted([rank_sum_p(item.tolist(), other.tolist()) for item, other in zip(*sides, strict=True)])
        wrong += min(family) <= 0.05
    assert scipy_stats().binomtest(wrong, runs, 0.05, alternative="greater").pvalue > 1e-3
