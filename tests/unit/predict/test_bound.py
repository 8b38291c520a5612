"""A migration that may send only so much in a second: until its guest stands, in which QEMU lifts that."""

from dataclasses import replace

import pytest
from askedfor import BARE, GIGABIT, MIB, limited, paged, request
from hypothesis import given
from hypothesis import strategies as st

from migrascope.mechanism.rules import HEADER, PAGE
from migrascope.model.policy import AutoConverge, Moment, Multifd, Policy, PostCopy
from migrascope.predict.mechanism import course
from migrascope.predict.parameters import Parameters
from migrascope.predict.request import Request, Settings

BOUND = 30e6


def bounded(wanted: Request, bound_Bps: float | None = BOUND) -> Request:
    return replace(wanted, settings=replace(wanted.settings, bound_Bps=bound_Bps))


@pytest.mark.parametrize("limit_s", [0.03, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("bound_Bps", [30e6, 80e6])
@pytest.mark.parametrize("writers", [(), ((64, 5e6),), ((128, 20e6),)], ids=["idle", "slow", "20MB"])
def test_it_goes_as_qemu_s_loop_does(writers: tuple[tuple[int, float], ...], bound_Bps: float, limit_s: float) -> None:
    wanted = bounded(request(*writers, memory=256, held=160, settings=limited(limit_s)), bound_Bps)
    seen, found = paged(wanted, *writers).run(), course(wanted, BARE)
    assert seen.ended
    assert found.ends
    assert found.time_s == pytest.approx(seen.time_s, rel=0.05)
    assert found.data_bytes == pytest.approx(seen.data_bytes, rel=0.05)
    # a window of 100 ms more or less, at the link's rate
    assert found.pause_s == pytest.approx(seen.pause_s, abs=(0.05 + 0.15 * limit_s) * bound_Bps / GIGABIT + 0.01)


@pytest.mark.parametrize("writers", [(), ((64, 5e6),), ((128, 20e6),)], ids=["idle", "slow", "20MB"])
def test_the_pause_is_shorter_by_the_share_that_the_bound_is_of_the_link(
    writers: tuple[tuple[int, float], ...],
) -> None:
    """The threshold rests on the bound: as much is left as over a link of that rate."""
    narrow = course(request(*writers, link=BOUND, settings=limited(1.0)), BARE)
    wide = course(bounded(request(*writers, link=4 * BOUND, settings=limited(1.0))), BARE)
    assert narrow.pause_s is not None
    assert wide.pause_s is not None
    assert narrow.pause_s > 0.1
    assert wide.pause_s == pytest.approx(narrow.pause_s / 4)
    assert narrow.time_s is not None
    assert wide.time_s == pytest.approx(narrow.time_s - narrow.pause_s * 3 / 4)
    assert wide.rounds == narrow.rounds
    assert wide.data_bytes == pytest.approx(narrow.data_bytes)


def test_a_bound_above_the_link_is_none() -> None:
    free = request((128, 20e6))
    assert course(bounded(free, 2 * GIGABIT), BARE) == course(free, BARE)


def test_the_share_of_the_link_that_is_reached_is_none_of_the_bound() -> None:
    known, slow = bounded(request((64, 5e6), settings=limited(1.0))), replace(BARE, speed=0.5)
    half, whole = course(known, slow), course(known, BARE)
    assert half.pause_s is not None
    assert whole.pause_s is not None
    assert half.pause_s == pytest.approx(2 * whole.pause_s)
    assert half.time_s == pytest.approx((whole.time_s or 0.0) + whole.pause_s)


@pytest.mark.parametrize("connections", [1, 4])
def test_buffers_have_run_empty_when_the_guest_is_stopped(connections: int) -> None:
    """Multifd's, too."""
    settings = replace(limited(0.0), connections=connections)
    found = course(bounded(request(settings=settings)), replace(BARE, backlog_bytes=4e6))
    assert found.pause_s == pytest.approx(0.0, abs=1e-9)


def test_auto_converge_judges_what_the_bound_lets_over() -> None:
    settings = replace(limited(0.3), slows=AutoConverge(), deadline_s=300.0)
    wanted = bounded(request((128, 60e6), memory=256, held=160, settings=settings))
    seen, found = paged(wanted, (128, 60e6), slows=(20, 10, 99)).run(), course(wanted, BARE)
    assert seen.ended
    assert found.time_s == pytest.approx(seen.time_s, rel=0.1)
    assert found.throttle == pytest.approx(seen.throttle, abs=0.101)
    assert found.pause_s == pytest.approx(seen.pause_s, abs=0.03)


def test_post_copy_is_bound_again_but_for_what_is_asked_for() -> None:
    settings = replace(limited(0.3), turns=PostCopy(after_round=1))
    free = request((128, 400e6), memory=256, held=160, settings=settings)
    wanted = bounded(free)
    seen, found = paged(wanted, (128, 400e6), start_postcopy_after=1).run(), course(wanted, BARE)
    assert found.time_s == pytest.approx(seen.time_s, rel=0.03)
    assert found.data_bytes == pytest.approx(seen.data_bytes, rel=0.03)
    assert found.pause_s == BARE.pause_s
    assert found.waits_s == pytest.approx(128 * MIB * (1 + HEADER / PAGE) / GIGABIT, rel=0.02)


def test_a_guest_that_is_stopped_at_a_moment_is_bound_until_few_enough_are_left() -> None:
    settings = replace(limited(0.3), paused=Moment.model_validate({"after": "1s"}))
    found = course(bounded(request(settings=settings)), Parameters(pause_s=0.0, lead_s=0.0))
    assert found.pause_s is not None
    assert found.time_s == pytest.approx(1.0 + found.pause_s)
    # 300 MiB, of which a second's are over, and the last 0.3 s of the bound go at the link's rate
    slow_s = 300 * MIB * (1 + HEADER / PAGE) / BOUND - 1.3
    assert found.pause_s == pytest.approx(slow_s + 0.3 * BOUND / GIGABIT, rel=0.02)


def test_compression_that_is_slower_than_the_bound_is_no_faster_without_it() -> None:
    policy = Policy.model_validate({"multifd": Multifd(compression="zlib"), "bandwidth": "240mbit"})
    settings = Settings.of(policy, limited(1.0).limits, wire=0.5, again=0.5, channel_Bps=20e6)
    assert settings.bound_Bps == BOUND
    free = replace(settings, bound_Bps=None)
    with_it, without = (request((64, 5e6), memory=300, settings=each) for each in (settings, free))
    assert course(with_it, BARE) == course(without, BARE)


SETS = st.lists(st.tuples(st.floats(1, 400), st.floats(4, 8.7)), max_size=3)
ANY = (SETS, st.floats(0, 900), st.floats(7, 9.3), st.floats(-2, 0.3))


def _drawn(sets: list[tuple[float, float]], held: float, bound: float, limit: float, times: float) -> Request:
    """Over a link so many times as fast as the bound."""
    settings = replace(limited(10**limit), deadline_s=300.0)
    writers = [(size, 10**rate) for size, rate in sets]
    return bounded(request(*writers, memory=2048, held=held, link=times * 10**bound, settings=settings), 10**bound)


@given(*ANY, st.floats(1, 4), st.floats(1, 4))
def test_a_faster_link_shortens_the_pause_alone(
    sets: list[tuple[float, float]], held: float, bound: float, limit: float, times: float, more: float
) -> None:
    wanted = _drawn(sets, held, bound, limit, times)
    slow, fast = course(wanted, BARE), course(replace(wanted, link_Bps=more * wanted.link_Bps), BARE)
    if slow.pause_s is None or slow.time_s is None:
        # where it was its pause that ended too late, it may end
        assert fast.time_s is None or fast.time_s <= 300
        return
    assert fast.pause_s is not None
    assert fast.time_s is not None
    assert fast.pause_s <= slow.pause_s + 1e-9
    assert fast.time_s - fast.pause_s == pytest.approx(slow.time_s - slow.pause_s)
    assert fast.rounds == slow.rounds
    assert fast.data_bytes == pytest.approx(slow.data_bytes)


@given(*ANY, st.floats(1, 4), st.floats(1, 4))
def test_a_higher_bound_never_lengthens(
    sets: list[tuple[float, float]], held: float, bound: float, limit: float, times: float, more: float
) -> None:
    wanted = _drawn(sets, held, bound, limit, times)
    low, high = course(wanted, BARE), course(bounded(wanted, more * 10**bound), BARE)
    assert low.time_s is None or (high.time_s is not None and high.time_s <= low.time_s + 1e-6)
