"""What is predicted of a guest of which bounds alone are known holds all that it may be."""

from dataclasses import replace

import pytest

from migrascope.mechanism.dirtying import Dirtying, WorkingSet
from migrascope.mechanism.rules import Step
from migrascope.predict.baselines import MODELS
from migrascope.predict.conformal import Margin
from migrascope.predict.fit import Fitted
from migrascope.predict.loosely import BOUNDED, Loosely
from migrascope.predict.parameters import Parameters
from migrascope.predict.predictor import FIGURES, Predictor
from migrascope.predict.request import Guest, Request, Settings

MIB = 2**20
FITTED = Fitted(MODELS[0], Parameters())
SURE = Predictor(FITTED, dict.fromkeys(FIGURES, Margin(0.1, 20)))


def request(rate_Bps: float, held: int = 200) -> Request:
    guest = Guest(512 * MIB, held * MIB, Dirtying((WorkingSet(64 * MIB, rate_Bps),)))
    return Request("tcg", guest, 30e6, Settings("pre-copy", (Step(0.0, 0.3),), 60.0))


@pytest.mark.parametrize("times", [1 / 1.4, 1.0, 1.4])
@pytest.mark.parametrize("held", [100, 200])
def test_intervals_hold_those_of_every_guest_that_it_may_be(times: float, held: int) -> None:
    asked = request(10e6)
    found = Loosely(SURE, 0.4).predict(asked)
    guest = replace(asked.guest, held_bytes=held * MIB, dirtying=asked.guest.dirtying.times(times))
    may_be = SURE.predict(replace(asked, guest=guest))
    for figure in FIGURES if held == 200 else BOUNDED:  # the pause depends on where the looks fall
        wide, narrow = found.intervals[figure], may_be.intervals[figure]
        assert wide.low <= narrow.low + 1e-9, figure
        assert wide.high >= narrow.high - 1e-9, figure
    assert found.course == SURE.predict(asked).course


def test_nothing_is_known_of_the_lower_end_of_what_grows_with_what_is_held() -> None:
    found = Loosely(SURE, None).predict(request(10e6))
    assert found.intervals["time_s"].low == found.intervals["data_bytes"].low == 0
    assert found.intervals["pause_s"] == SURE.predict(request(10e6)).intervals["pause_s"]
    assert found.ends == SURE.predict(request(10e6)).ends


def test_one_that_might_not_end_has_no_interval_and_ends_less_likely() -> None:
    likely, loose = SURE.predict(request(20e6)), Loosely(SURE, 1.0).predict(request(20e6))
    assert likely.course.ends
    assert not loose.intervals
    assert set(loose.whys.values()) == {"with 2.0 times the rates, which so few pages leave open, it would not end"}
    assert loose.ends < likely.ends


def test_without_intervals_the_reason_stays() -> None:
    found = Loosely(Predictor.alone(FITTED, "no trials"), 0.4).predict(request(10e6))
    assert not found.intervals
    assert set(found.whys.values()) == {"no trials"}
