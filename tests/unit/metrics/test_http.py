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


REFUSED = -1
Outcome = int | None


def visits_of(outcomes: list[Outcome]) -> Visits:
    """Visits every 20 ms; each took so many ns, failed (None), or was refused."""
    due = np.array([at * SPACING for at in range(len(outcomes))], dtype=np.int64)
    done = np.array([0 if each is None else each for each in done_of(outcomes)], dtype=np.int64)
    refused = np.array([took == REFUSED for took in outcomes], dtype=np.bool_)
    return Visits(due, done, np.array([not served(took) for took in outcomes], dtype=np.bool_), refused)


def served(took: Outcome) -> bool:
    return took is not None and took != REFUSED


def done_of(took: list[Outcome]) -> list[int | None]:
    """When each visit was done; None where it never was."""
    return [at * SPACING + number if number is not None and served(number) else None for at, number in enumerate(took)]


def waits_of(took: list[Outcome]) -> list[int]:
    """How long each visit waited: one that was not served at least until the next one that is was done, or as long as
    any was seen."""
    due, done = [at * SPACING for at in range(len(took))], done_of(took)
    last = max([*due, *(at for at in done if at is not None)])
    waits = []
    for at, ended in enumerate(done):
        following = min([other for other in done[at:] if other is not None], default=last)
        waits.append((following if ended is None else ended) - due[at])
    return waits


def bad_of(took: list[Outcome]) -> list[bool]:
    """Which failed or came late; one that was not made, where it must have."""
    waits = waits_of(took)
    return [number is None or waits[at] > THRESHOLD for at, number in enumerate(took)]


outcomes = st.lists(
    st.one_of(
        st.just(5 * MS), st.just(5 * MS), st.none(), st.just(REFUSED), st.just(REFUSED), st.integers(0, 2 * SECOND)
    ),
    min_size=1,
    max_size=300,
)


def stretches(took: list[Outcome]) -> list[tuple[int, int, bool, list[int]]]:
    """Of each stretch: when its first visit was due, its end, whether it ended, and its bad visits."""
    due = [at * SPACING for at in range(len(took))]
    bad = bad_of(took)
    found: list[tuple[int, int, bool, list[int]]] = []
    at, spacing = 0, SPACING if len(due) > 1 else 0
    while at < len(took):
        if not bad[at]:
            at += 1
            continue
        end = None
        for place in range(at, len(took)):
            second = [bad[other] for other in range(len(took)) if due[place] <= due[other] < due[place] + SECOND]
            if not any(second) and due[place] + SECOND <= due[-1] + spacing:
                end = place
                break
        members = [place for place in range(at, len(took) if end is None else end) if bad[place]]
        found.append((due[at], due[end] if end is not None else due[members[-1]] + spacing, end is not None, members))
        at = len(took) if end is None else end
    return found


spans = st.tuples(st.integers(0, 4 * SECOND), st.integers(1, 5 * SECOND)).map(lambda t: (t[0], t[0] + t[1]))


@given(outcomes, spans, st.one_of(st.none(), spans))
def test_the_blackout_is_that_of_the_reference(
    took: list[Outcome], span: tuple[int, int], stop: tuple[int, int] | None
) -> None:
    due = [at * SPACING for at in range(len(took))]
    over = [at * SPACING + (number if number and served(number) else THRESHOLD if not served(number) else 0)
            for at, number in enumerate(took)]  # fmt: skip
    overlap = [at for at in range(len(took)) if due[at] < span[1] and over[at] >= span[0]]
    around = [stretch for stretch in stretches(took) if set(stretch[3]) & set(overlap)]
    if stop is not None:
        met = [row for row in around if row[0] < stop[1] and max(over[at] for at in row[3]) >= stop[0]]
        around = met or around
    seen = blackout(visits_of(took), THRESHOLD, span, stop)
    assert seen.failed == sum(not served(took[at]) for at in overlap)
    assert seen.late == sum((took[at] or 0) > THRESHOLD for at in overlap)
    if not around:
        assert (seen.seconds, seen.ended) == (0, True)
        return
    longest = max(around, key=lambda item: item[1] - item[0])
    assert (seen.start_ns, seen.end_ns, seen.ended) == longest[:3]


@given(outcomes, spans)
def test_the_worst_visit_is_that_of_the_reference(took: list[Outcome], span: tuple[int, int]) -> None:
    waits = [
        wait
        for at, wait in enumerate(waits_of(took))
        if at * SPACING < span[1] and at * SPACING + (wait if served(took[at]) else THRESHOLD) >= span[0]
    ]
    seen = blackout(visits_of(took), THRESHOLD, span).worst_s
    assert seen == (pytest.approx(max(waits) / 1e9) if waits else None)


def test_a_visit_that_was_late_before_the_stop_does_not_hide_the_blackout() -> None:
    """One of 110 ms, more than a second before STOP; then 0.8 s without an answer."""
    took: list[Outcome] = [5 * MS] * 300
    took[90] = 110 * MS
    took[150:190] = [(190 - at) * SPACING + 5 * MS for at in range(150, 190)]
    stop = (150 * SPACING, 180 * SPACING)
    seen = blackout(visits_of(took), THRESHOLD, (stop[0] - SECOND - 250 * MS, stop[0] + 4 * SECOND), stop)
    assert seen.seconds == pytest.approx(0.72, abs=0.021)


def test_a_long_blackout_elsewhere_does_not_stand_for_that_at_the_stop() -> None:
    took: list[Outcome] = [5 * MS] * 400
    took[150:160] = [None] * 10
    took[230:280] = [None] * 50
    seen = blackout(visits_of(took), THRESHOLD, (100 * SPACING, 350 * SPACING), (150 * SPACING, 158 * SPACING))
    assert seen.seconds == pytest.approx(0.2)
    assert blackout(visits_of(took), THRESHOLD, (100 * SPACING, 350 * SPACING)).seconds == pytest.approx(1.0)


@pytest.mark.parametrize("hold_ms", [150, 200, 500, 1000])
def test_a_server_that_holds_its_answers_is_out_for_as_long(hold_ms: int) -> None:
    """Every visit due in the hold is answered when it ends: late are those that waited over 100 ms."""
    begin, end = 2000 * MS, (2000 + hold_ms) * MS
    took: list[Outcome] = [end - at * SPACING + 5 * MS if begin <= at * SPACING < end else 5 * MS for at in range(400)]
    seen = blackout(visits_of(took), THRESHOLD, (begin, end))
    assert seen.ended
    assert seen.seconds == pytest.approx((hold_ms - 95) / 1e3, abs=0.021)
    assert seen.worst_s == pytest.approx((hold_ms + 5) / 1e3, abs=0.021)
    assert seen.failed == 0


@pytest.mark.parametrize("hold_ms", [500, 1000])
def test_nor_longer_where_it_is_asked_no_more(hold_ms: int) -> None:
    """After twenty visits under way no further one is made: those due in the last 100 ms would have been in time."""
    begin, end = 2000 * MS, (2000 + hold_ms) * MS
    took: list[Outcome] = [5 * MS] * 400
    held = [at for at in range(400) if begin <= at * SPACING < end]
    for place, at in enumerate(held):
        took[at] = end - at * SPACING + 5 * MS if place < 20 else REFUSED
    seen = blackout(visits_of(took), THRESHOLD, (begin, end))
    assert seen.seconds == pytest.approx((hold_ms - 75) / 1e3, abs=0.021)
    assert seen.failed == len(held) - 20


def test_a_guest_that_is_behind_serves_late_what_it_was_not_asked() -> None:
    """What it has in its hands takes longer than visitors are patient: those not made meanwhile are out, too."""
    took: list[Outcome] = [5 * MS] * 400
    took[100:120] = [SECOND + 20 * MS * at for at in range(20)]
    took[120:160] = [REFUSED] * 40
    took[160:170] = [200 * MS] * 10
    seen = blackout(visits_of(took), THRESHOLD, (100 * SPACING, 150 * SPACING))
    assert seen.seconds == pytest.approx(70 * SPACING / 1e9)


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
    took: list[Outcome] = [5 * MS] * 300
    took[100] = took[130] = None
    seen = blackout(visits_of(took), THRESHOLD, (100 * SPACING, 101 * SPACING))
    assert seen.seconds == pytest.approx(31 * 0.02)
    took[130], took[151] = 5 * MS, None
    apart = blackout(visits_of(took), THRESHOLD, (100 * SPACING, 101 * SPACING))
    assert apart.seconds == pytest.approx(0.02)
