"""When a window is steady."""

from hypothesis import given
from hypothesis import strategies as st

from migrascope.model.steady import IN_TIME_NS, NS, Due, in_time_share, unsteady

RATE, WINDOW = 50.0, 3 * NS
QUIET = 5_000_000


def visits(took: list[int]) -> list[Due]:
    """Visits at RATE that were answered so late (ns); -1: not at all."""
    return [
        Due(round(at * NS / RATE), round(at * NS / RATE) + late if late >= 0 else 0) for at, late in enumerate(took)
    ]


def why(took: list[int], *, loaded: bool = False) -> str | None:
    return unsteady(visits(took), 0, WINDOW, RATE, loaded=loaded)


def test_a_window_in_time_is_steady_and_one_late_visit_of_a_hundred_is_none() -> None:
    assert why([QUIET] * 150) is None
    assert why([QUIET] * 149 + [2 * IN_TIME_NS]) is None
    assert why([QUIET] * 147 + [2 * IN_TIME_NS] * 3) == "98 % of visits in time"


def test_one_late_visit_of_a_few_is_nothing_in_a_recording() -> None:
    few = [visit for at, visit in enumerate(visits([QUIET] * 149 + [2 * IN_TIME_NS])) if at % 10 == 9]
    assert unsteady(few, 0, WINDOW, RATE / 10) == "93 % of visits in time"
    assert unsteady(few, 0, WINDOW, RATE / 10, spare=1) is None
    assert unsteady(few[:-2], 0, WINDOW, RATE / 10, spare=1) == "87 % of visits in time"


def test_one_lucky_second_does_not_make_a_window_steady() -> None:
    assert why([2 * IN_TIME_NS] * 100 + [QUIET] * 50) == "33 % of visits in time"


def test_visits_that_left_no_trace_yet_are_not_in_time() -> None:
    assert why([QUIET] * 100) == "67 % of visits in time"
    assert why([]) == "0 % of visits in time"


def test_answers_that_come_later_and_later_are_no_steady_state() -> None:
    rising = [QUIET + at * 500_000 for at in range(150)]
    assert max(rising) < IN_TIME_NS
    assert why(rising) == "answers later and later: 24, then 61 ms"


def test_under_a_declared_load_answers_may_be_late_but_must_come() -> None:
    late = [5 * IN_TIME_NS] * 150
    assert why(late) == "0 % of visits in time"
    assert why(late, loaded=True) is None
    assert why([*late[:140], *[-1] * 10], loaded=True) == "93 % of visits answered"
    assert why([at * 10_000_000 for at in range(150)], loaded=True) is not None


@given(st.lists(st.integers(-1, 3 * IN_TIME_NS), min_size=1, max_size=200), st.integers(0, 199))
def test_a_later_answer_never_makes_a_share_larger(took: list[int], at: int) -> None:
    at %= len(took)
    later = [*took[:at], -1, *took[at + 1 :]]
    assert in_time_share(visits(later), len(took)) <= in_time_share(visits(took), len(took))
