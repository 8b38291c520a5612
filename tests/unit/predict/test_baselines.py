"""Published models against their own formulas, and against the figures of a first check."""

import math
from dataclasses import replace

import pytest

from migrascope.mechanism.dirtying import Dirtying, WorkingSet
from migrascope.mechanism.rules import Step
from migrascope.predict.baselines import MODELS, constant_rate, gudkov, nathan
from migrascope.predict.parameters import Parameters
from migrascope.predict.request import Guest, Request, Settings

MIB = 2**20
SHARE = 4104 / 4096
BARE = Parameters(pause_s=0.0, lead_s=0.0)


def request(rate: float, limit_s: float = 0.3, size: float = 128) -> Request:
    dirtying = Dirtying((WorkingSet(size * MIB, rate),)) if rate else Dirtying()
    guest = Guest(256 * MIB, 256 * MIB, dirtying)
    return Request("tcg", guest, 100e6, Settings("pre-copy", (Step(0.0, limit_s),)))


def test_the_constant_rate_is_a_geometric_series() -> None:
    wanted = request(40e6, size=200)
    found = constant_rate(wanted, BARE)
    rho, first = wanted.guest.dirtying.within(1.0) / 100e6 * SHARE, 256 * MIB * SHARE
    # the number of rounds after which one of them is within the limit
    more = math.ceil(math.log(0.3 * 100e6 / first) / math.log(rho))
    assert found.data_bytes == pytest.approx(first * (1 - rho ** (more + 1)) / (1 - rho), rel=1e-3)
    assert found.time_s == pytest.approx(found.data_bytes / 100e6)
    assert found.pause_s == pytest.approx(first * rho**more / 100e6, rel=1e-3)


def test_a_constant_rate_above_the_link_s_never_ends() -> None:
    assert not constant_rate(request(150e6, size=250), BARE).ends


def test_gudkov_s_rounds_are_d_of_the_round_before() -> None:
    wanted = request(80e6)
    found = gudkov(wanted, BARE)
    left, total = 256 * MIB * SHARE, 0.0
    while left / 100e6 > 0.3:
        total += left
        left = wanted.guest.dirtying.within(left / 100e6) * SHARE
    assert found.data_bytes == pytest.approx(total + left)
    assert found.pause_s == pytest.approx(left / 100e6)


def test_gudkov_s_ends_where_d_of_the_limit_fits_into_it() -> None:
    fits, not_ = request(90e6), request(400e6)
    assert fits.guest.dirtying.within(0.3) * SHARE < 30e6 < not_.guest.dirtying.within(0.3) * SHARE
    assert gudkov(fits, BARE).ends
    assert not gudkov(not_, BARE).ends


def test_nathan_s_saturates_at_the_working_set() -> None:
    # a first copy of 2.7 s at 80 MB/s would dirty more than the set has
    wanted = request(80e6, size=16)
    assert nathan(wanted, BARE).data_bytes == pytest.approx((256 + 16) * MIB * SHARE, rel=1e-6)
    assert nathan(wanted, BARE).rounds == 3


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_each_knows_an_idle_guest_a_deadline_and_the_five_parameters(model: object) -> None:
    course = model.course  # type: ignore[attr-defined]
    idle = course(request(0.0), BARE)
    assert idle.ends
    assert idle.data_bytes == pytest.approx(256 * MIB * SHARE)
    late = replace(request(0.0), settings=replace(request(0.0).settings, deadline_s=1.0))
    assert not course(late, BARE).ends
    assert course(request(0.0), replace(BARE, lead_s=1.0)).time_s == pytest.approx(idle.time_s + 1.0)
    assert course(request(0.0), replace(BARE, pause_s=1.0)).pause_s == pytest.approx(idle.pause_s + 1.0)
    slower = course(request(0.0), replace(BARE, speed=0.5)).time_s
    assert slower == pytest.approx(2 * idle.time_s, rel=0.01)
    assert course(request(40e6), replace(BARE, dirty=1.5)).data_bytes > course(request(40e6), BARE).data_bytes
    assert model.source  # type: ignore[attr-defined]
