"""HTTP blackout against a plain reference, and scripted holds."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.metrics.http import Visits, blackout

MS = 1_000_000
SECOND = 1000 * MS
SPACING = 20 * MS
THRESHOLD = 100 * MS


def visits_of(outcomes: list[int | None]) -> Visits:
    """Visits every 20 ms; each took so many ns, or failed."""
    due = np.array([at * SPACING for at in range(len(outcomes))], dtype=np.int64)
    done = np.array([0 if took is None else at * SPACING + took for at, took in enumerate(outcomes)], dtype=np.int64)
    return Visits(due, done, np.array([took is None for took in outcomes], dtype=np.bool_))


outcomes = st.lists(
    st.one_of(st.just(5 * MS), st.just(5 * MS), st.none(), st.integers(0, 2 * SECOND)), min_size=1, max_size=300
)


@given(outcomes, st.integers(0, 4 * SECOND), st.integers(1, 5 * SECOND))
def test_the_blackout_is_that_of_the_reference(took: list[int | None], begin: int, length: int) -> None:
    span = (begin, begin + length)
    due = [at * SPACING for at in range(len(took))]
    bad = [one is None or one > THRESHOLD for one in took]
    overlap = [
        at
        for at, one in enumerate(took)
        if due[at] < span[1] and due[at] + (THRESHOLD if one is None else one) >= span[0]
    ]
    first = next((at for at in overlap if bad[at]), None)
    seen = blackout(visits_of(took), THRESHOLD, span)
    assert seen.failed == sum(took[at] is None for at in overlap)
    assert seen.late == sum(bad[at] for at in overlap) - seen.failed
    if first is None:
        assert seen.seconds == 0
        return
    assert seen.start_ns == due[first]
    spacing = SPACING if len(due) > 1 else 0
    end = None
    for at in range(first, len(took)):
        second = [bad[other] for other in range(len(took)) if due[at] <= due[other] < due[at] + SECOND]
        if not any(second) and due[at] + SECOND <= due[-1] + spacing:
            end = due[at]
            break
    assert seen.seconds == (None if end is None else pytest.approx((end - due[first]) / 1e9))


@pytest.mark.parametrize("hold_ms", [150, 200, 500, 1000])
def test_a_server_that_holds_its_answers_is_out_for_as_long(hold_ms: int) -> None:
    """Every visit due in the hold is answered when it ends: late are those that waited over 100 ms."""
    begin, end = 2000 * MS, (2000 + hold_ms) * MS
    took: list[int | None] = [
        end - at * SPACING + 5 * MS if begin <= at * SPACING < end else 5 * MS for at in range(400)
    ]
    seen = blackout(visits_of(took), THRESHOLD, (begin, end))
    assert seen.seconds == pytest.approx((hold_ms - 95) / 1e3, abs=0.021)
    assert seen.worst_s == pytest.approx((hold_ms + 5) / 1e3, abs=0.021)
    assert seen.failed == 0


def test_visits_that_are_all_in_time_make_no_blackout() -> None:
    seen = blackout(visits_of([5 * MS] * 200), THRESHOLD, (SECOND, 2 * SECOND))
    assert (seen.seconds, seen.failed, seen.late) == (0.0, 0, 0)
    assert seen.worst_s == pytest.approx(0.005)


def test_late_is_relative_to_before() -> None:
    chance = random.Random(1)
    slow = visits_of([chance.randrange(60 * MS, 80 * MS) for _ in range(200)])
    assert slow.late_after_ns((0, 4 * SECOND)) == pytest.approx(240 * MS, rel=0.01)
    assert visits_of([MS] * 50).late_after_ns((0, SECOND)) == 100 * MS


def test_a_visit_that_fails_within_a_second_of_the_last_belongs_to_the_same_blackout() -> None:
    took: list[int | None] = [5 * MS] * 300
    took[100] = took[130] = None
    seen = blackout(visits_of(took), THRESHOLD, (100 * SPACING, 101 * SPACING))
    assert seen.seconds == pytest.approx(31 * 0.02)
    took[130], took[151] = 5 * MS, None
    apart = blackout(visits_of(took), THRESHOLD, (100 * SPACING, 101 * SPACING))
    assert apart.seconds == pytest.approx(0.02)
