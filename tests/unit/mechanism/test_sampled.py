"""Samples of what a guest dirties, of which some were taken while it waited for its processor."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.mechanism.dirtying import Dirty, Dirtying, WorkingSet
from migrascope.mechanism.sampled import unheld

PERIODS = (0.05, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
GUEST = Dirtying((WorkingSet(5e7, 7e7),))


def test_samples_of_a_guest_that_never_waited_stay_as_they_are() -> None:
    points = [Dirty(period, GUEST.within(period)) for period in PERIODS]
    for old, new in zip(points, unheld(points), strict=True):
        assert new.dirty_bytes == pytest.approx(old.dirty_bytes)


def test_one_that_was_taken_while_it_waited_counts_for_no_less_than_those_beside_it() -> None:
    points = [Dirty(period, GUEST.within(period) * (0.02 if period == 0.25 else 1)) for period in PERIODS]
    found = {point.period_s: point.dirty_bytes for point in unheld(points)}
    assert found[0.25] == pytest.approx(GUEST.within(0.25), rel=0.1)
    assert Dirtying.fitted(unheld(points), 1e9).within(0.3) == pytest.approx(GUEST.within(0.3), rel=0.1)
    assert Dirtying.fitted(points, 1e9).within(0.3) < 0.7 * GUEST.within(0.3)


@given(st.lists(st.tuples(st.sampled_from(PERIODS), st.integers(0, 10**9)), min_size=1, max_size=8))
def test_no_sample_is_above_the_curve_which_rises_ever_more_slowly(samples: list[tuple[float, float]]) -> None:
    points = [Dirty(*sample) for sample in samples]
    found = unheld(points)
    assert [point.period_s for point in found] == [point.period_s for point in points]
    assert all(new.dirty_bytes >= old.dirty_bytes * (1 - 1e-9) for old, new in zip(points, found, strict=True))
    curve = sorted(set(found))
    rates = [point.dirty_bytes / point.period_s for point in curve]
    assert all(after <= before * (1 + 1e-6) + 1e-6 for before, after in pairwise(rates))
