import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qemuloop import PagedGuest

from migrascope.mechanism.dirtying import Dirty, Dirtying, WorkingSet, nonnegative_least_squares

MIB = 2**20
PERIODS = (0.05, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)


def sampled(curve: Dirtying) -> list[Dirty]:
    return [Dirty(period, curve.within(period)) for period in PERIODS]


@pytest.mark.parametrize(
    "sets",
    [
        [WorkingSet(128 * MIB, 20e6)],
        [WorkingSet(128 * MIB, 160e6)],
        [WorkingSet(8 * MIB, 60e6), WorkingSet(300 * MIB, 10e6)],
        [WorkingSet(2 * MIB, 1e6)],
    ],
)
def test_a_curve_is_found_again_from_seven_periods(sets: list[WorkingSet]) -> None:
    true = Dirtying(tuple(sets))
    found = Dirtying.fitted(sampled(true), 1024 * MIB)
    for seconds in (0.05, 0.1, 0.3, 0.7, 1.5, 3.0, 4.0):
        assert found.within(seconds) == pytest.approx(true.within(seconds), rel=0.03)
    assert found.within(8.0) == pytest.approx(true.within(8.0), rel=0.15)


def test_one_rate_alone_is_a_curve_too() -> None:
    """As libvirt gives it."""
    found = Dirtying.fitted([Dirty(1.0, 20e6)], 1024 * MIB)
    assert found.within(1.0) == pytest.approx(20e6, rel=1e-6)


def test_a_guest_that_writes_nothing_dirties_nothing() -> None:
    assert Dirtying.fitted([Dirty(1.0, 0.0), Dirty(2.0, 0.0)], MIB) == Dirtying()
    assert Dirtying().within(5.0) == 0


def test_no_guest_dirties_more_than_it_has() -> None:
    found = Dirtying.fitted([Dirty(period, 100e6 * period) for period in PERIODS], 256 * MIB)
    assert found.size <= 256 * MIB
    assert found.within(1.0) == pytest.approx(100e6, rel=0.25)


def test_a_curve_that_still_rises_is_bounded_without_changing_what_was_measured() -> None:
    """As of a guest that writes 48 MiB in their order, 12 MB/s, and holds 175 MB."""
    found = Dirtying.fitted([Dirty(period, 13e6 * period) for period in PERIODS], 175e6)
    assert found.size <= 175e6
    for seconds in PERIODS:
        assert found.within(seconds) == pytest.approx(13e6 * seconds, rel=0.02)


def test_pages_written_at_random_dirty_as_the_formula_says() -> None:
    guest = PagedGuest.of(256, 200, (64, 40e6))
    curve = Dirtying((WorkingSet(64 * MIB, 40e6),))
    for seconds in (0.1, 1.0, 4.0):
        seen = 4096 * float(-np.expm1(-guest.rates * seconds).sum())
        assert curve.within(seconds) == pytest.approx(seen, rel=1e-9)


@pytest.mark.parametrize("points", [[], [Dirty(0.0, 1.0)], [Dirty(1.0, -1.0)]])
def test_points_that_are_none_are_refused(points: list[Dirty]) -> None:
    with pytest.raises(ValueError, match="periods longer than 0 s"):
        Dirtying.fitted(points, MIB)


NUMBERS = st.lists(st.floats(0, 1e9), min_size=len(PERIODS), max_size=len(PERIODS))


@given(NUMBERS)
def test_whatever_was_measured_the_curve_rises_ever_more_slowly(values: list[float]) -> None:
    found = Dirtying.fitted([Dirty(*pair) for pair in zip(PERIODS, values, strict=True)], 1024 * MIB)
    curve = [found.within(seconds / 10) for seconds in range(60)]
    steps = np.diff(curve)
    assert (steps >= -1e-3).all()
    assert (np.diff(steps) <= 1e-3 + 1e-9 * steps[:-1]).all()


@given(st.integers(0, 2**32 - 1))
def test_the_least_squares_cannot_be_improved(seed: int) -> None:
    """The conditions of Karush, Kuhn and Tucker, which only a least sum of squares meets."""
    random = np.random.default_rng(seed)
    shapes, values = random.random((7, 12)), random.normal(size=7)
    x = nonnegative_least_squares(shapes, values)
    slope = shapes.T @ (shapes @ x - values)
    assert (x >= 0).all()
    assert (slope >= -1e-6).all()
    assert np.abs(slope * x).max(initial=0) < 1e-5
