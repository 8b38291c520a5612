"""Quantities: what people write is what the code keeps, and back."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.model import units


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.parse_duration, "300ms", 0.3),
        (units.parse_duration, "5s", 5.0),
        (units.parse_duration, "1.5 min", 90.0),
        (units.parse_duration, "0", 0.0),
        (units.parse_rate, "1gbit", 1e9),
        (units.parse_rate, "2.5mbit", 2.5e6),
        (units.parse_size, "512MiB", 2**29),
        (units.parse_size, "1GB", 10**9),
    ],
)
def test_what_people_write(parse: Callable[[str], float], text: str, value: float) -> None:
    assert parse(text) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["", "5", "ms", "-3s", "5 parsecs", "1e3s", "3 s s", "nan s"])
def test_a_mistake_names_the_units_that_exist(text: str) -> None:
    with pytest.raises(ValueError, match=r"min.*'300ms'"):
        units.parse_duration(text)


@given(st.integers(min_value=0, max_value=10**15))
def test_durations_in_whole_nanoseconds_come_back_exactly(nanoseconds: int) -> None:
    seconds = nanoseconds / 1e9
    assert units.parse_duration(units.duration_text(seconds)) == seconds


@given(st.integers(min_value=0, max_value=10**6), st.sampled_from(sorted(units.RATE.values())))
def test_rates_come_back_exactly(number: int, unit: float) -> None:
    assert units.parse_rate(units.rate_text(number * unit)) == number * unit


@given(st.integers(min_value=0, max_value=10**6))
def test_sizes_in_mebibytes_come_back_exactly(mebibytes: int) -> None:
    assert units.parse_size(units.size_text(mebibytes * 2**20)) == mebibytes * 2**20


@given(st.floats(min_value=-1e15, max_value=1e15), st.sampled_from(["s", "B", "bit/s", "B/s", "ratio", "1"]))
def test_any_value_has_a_short_text_for_people(value: float, unit: str) -> None:
    assert 1 <= len(units.human(value, unit)) <= 24


def test_three_digits_for_people() -> None:
    assert units.human(0.0213, "s") == "21.3 ms"
    assert units.human(118_000_000, "B") == "118 MB"
    assert units.human(0.012, "ratio") == "1.2 %"
    assert units.human(0, "s") == "0 s"
