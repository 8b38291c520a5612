"""The search for what a guest bears, against scripted guests of known capacity."""

import random
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from migrascope.model.load import LEAST_RATE, PROCESSOR_SHARE, Tried
from migrascope.workload.search import LEAST_TIMES, MOST_STEPS, Borne, conclude, search

MOST = 50.0
Guest = Callable[[float], Tried]


def searched(guest: Guest, most: float = MOST) -> tuple[Borne, list[Tried]]:
    """What is concluded of a guest, and every rate that was tried."""
    searching, tried = search(most), list[Tried]()
    rate = next(searching)
    while True:
        tried.append(guest(rate))
        try:
            rate = searching.send(tried[-1])
        except StopIteration:
            return conclude(tried), tried


def linear(base: float, each: float, noise: Callable[[], float] = lambda: 1.0) -> Guest:
    """A guest that uses `base` of a core without visits and `each` more for a visit a second; full, it answers late."""

    def serve(rate: float) -> Tried:
        busy = base + each * rate
        return Tried(rate, 1.0 if busy < 0.9 else 0.3, min(1.0, busy * noise()), 2)

    return serve


@given(base=st.floats(0.01, 0.49), each=st.floats(1e-4, 0.1))
@example(base=0.0703125, each=0.068359375)
def test_a_stable_guest_gets_no_more_than_its_share_and_hardly_less(base: float, each: float) -> None:
    found, tried = searched(linear(base, each))
    fits = min(MOST, (PROCESSOR_SHARE - base) / each)
    assert len(tried) < MOST_STEPS + LEAST_TIMES
    assert all(attempt.rate <= MOST for attempt in tried)
    if fits < LEAST_RATE:
        assert found.rate == 0.0
    else:
        assert 0.8 * fits - 1 < found.rate <= fits, "rates are tried in whole visits a second"
        assert found.busy is not None
        assert found.busy <= PROCESSOR_SHARE


@given(base=st.floats(0.01, 0.45), each=st.floats(1e-4, 0.1), seed=st.integers(0, 1000))
def test_a_jittery_guest_is_done_with_in_time_and_not_overloaded(base: float, each: float, seed: int) -> None:
    """Each count is up to a tenth off; so is what it is given."""
    chance = random.Random(seed)
    found, tried = searched(linear(base, each, lambda: chance.uniform(0.9, 1.1)))
    assert len(tried) < MOST_STEPS + LEAST_TIMES
    assert base + each * found.rate <= 1.15 * PROCESSOR_SHARE or found.rate == 0.0


@given(most=st.floats(0.5, 500))
def test_a_guest_on_hardware_gets_all_that_is_wanted(most: float) -> None:
    found, tried = searched(linear(0.02, 1e-5), most)
    assert found.rate == most
    assert max(attempt.rate for attempt in tried) == most


@pytest.mark.parametrize(
    "guest",
    [
        pytest.param(lambda rate: Tried(rate, 0.0, None, 2), id="dead"),
        pytest.param(lambda rate: Tried(rate, 1.0, None, 2), id="silent agent"),
        pytest.param(lambda rate: Tried(rate, 0.4, 0.3, 2), id="slow"),
        pytest.param(lambda rate: Tried(rate, 1.0, 1.0, 2), id="full"),
    ],
)
def test_a_guest_that_bears_nothing_is_asked_for_the_least_alone(guest: Guest) -> None:
    found, tried = searched(guest)
    assert (found.rate, found.serves) == (0.0, None)
    assert [attempt.rate for attempt in tried] == [LEAST_RATE] * LEAST_TIMES


def test_a_guest_that_is_still_busy_from_its_boot_is_asked_again() -> None:
    """Its first attempt is none of the points from which its capacity is reckoned."""
    settled = linear(0.1, 0.01)
    attempts = iter([Tried(LEAST_RATE, 1.0, 0.52, 2)])
    found, tried = searched(lambda rate: next(attempts, None) or settled(rate))
    assert [attempt.rate for attempt in tried[:2]] == [LEAST_RATE, LEAST_RATE]
    assert (found, tried[1:]) == searched(settled)


def test_late_answers_bound_the_rate_where_the_processor_does_not() -> None:
    """Something else than its processor holds this guest up."""
    found, _ = searched(lambda rate: Tried(rate, 1.0 if rate <= 20 else 0.5, 0.1 + 0.001 * rate, 2))
    assert 15 <= found.rate <= 20


def test_what_would_fill_a_core_is_said() -> None:
    found, _ = searched(linear(0.2, 0.01))
    assert found.serves == pytest.approx(80)


def test_no_more_is_served_than_was_answered_in_time() -> None:
    """Where other work takes the machine, the guest's share of a core hardly grows with its visits."""
    tried = [Tried(5, 1.0, 0.30, 2), Tried(20, 0.78, 0.63, 2), Tried(12, 1.0, 0.30, 2), Tried(18, 1.0, 0.36, 2)]
    assert conclude(tried) == Borne(14, 0.36, 20)
    assert conclude([Tried(5, 1.0, 0.3, 2), Tried(6, 0.5, 0.3, 2)]).rate == 5
