"""The mechanism against a loop written from QEMU's source, page by page; and what has to hold of any guest."""

import math
from dataclasses import replace

import pytest
from askedfor import BARE, FIXED, GIGABIT, MIB, limited, paged, request
from hypothesis import given
from hypothesis import strategies as st

from migrascope.mechanism.copying import Course
from migrascope.mechanism.rules import TOP_BYTES, TOP_SHARE
from migrascope.model.policy import BUILT_IN, AutoConverge, Moment, Multifd, Policy, PostCopy, Xbzrle
from migrascope.predict.mechanism import course
from migrascope.predict.parameters import Parameters
from migrascope.predict.request import NotPredicted, Request, Settings, nova_limits


@pytest.mark.parametrize("limit_s", [0.03, 0.1, 0.3, 1.0])
@pytest.mark.parametrize(
    "writers",
    [(), ((64, 5e6),), ((128, 20e6),), ((128, 80e6),), ((16, 60e6), (96, 20e6))],
    ids=["idle", "slow", "20MB", "80MB", "hot-and-cold"],
)
def test_it_goes_as_qemu_s_loop_does(writers: tuple[tuple[int, float], ...], limit_s: float) -> None:
    wanted = request(*writers, memory=256, held=160, settings=limited(limit_s))
    seen, found = paged(wanted, *writers).run(), course(wanted, BARE)
    assert found.ends == seen.ended
    assert found.time_s == pytest.approx(seen.time_s, rel=0.05)
    assert found.data_bytes == pytest.approx(seen.data_bytes, rel=0.05)
    assert found.pause_s is not None
    # whether the last look just fits is chance: a turn of 50 ms more or less
    assert found.pause_s == pytest.approx(seen.pause_s, abs=0.05 + 0.15 * limit_s)
    assert abs(found.rounds - seen.looks) <= 1 + seen.looks // 8


def test_what_lies_behind_the_empty_memory_is_left_at_the_stop_where_the_limit_allows_it() -> None:
    """An idle guest: a long limit fits when the empty memory is over, and a short one when nothing is left."""
    top_s = (TOP_SHARE * 256 * MIB + TOP_BYTES) / 20e6
    for limit_s, pause_s in ((0.03, 0.0), (1.0, top_s)):
        wanted = request(memory=256, held=160, link=20e6, settings=limited(limit_s))
        found = course(wanted, BARE)
        assert found.pause_s == pytest.approx(pause_s, abs=0.05)
        assert found.pause_s == pytest.approx(paged(wanted).run().pause_s, abs=0.05)


def test_a_guest_that_holds_less_than_that_holds_it_all_behind() -> None:
    found = course(request(memory=64, held=2, link=20e6, settings=limited(1.0)), BARE)
    assert found.ends
    assert found.data_bytes == pytest.approx(2 * MIB * (1 + 8 / 4096) + 62 * MIB * 9 / 4096)


def test_what_never_fits_never_ends() -> None:
    wanted = request((128, 80e6), memory=256, held=160, link=30e6, settings=replace(limited(0.3), deadline_s=30.0))
    assert not paged(wanted, (128, 80e6)).run().ended
    found = course(wanted, BARE)
    assert (found.ends, found.time_s, found.pause_s) == (False, None, None)


@pytest.mark.parametrize("rate", [200e6, 400e6])
def test_auto_converge_slows_the_guest_as_qemu_does(rate: float) -> None:
    settings = replace(limited(0.3), slows=AutoConverge(), deadline_s=120.0)
    wanted = request((128, rate), memory=256, held=160, settings=settings)
    seen, found = paged(wanted, (128, rate), slows=(20, 10, 99)).run(), course(wanted, BARE)
    assert seen.ended
    assert found.ends
    assert found.throttle == pytest.approx(seen.throttle, abs=0.101)
    assert found.time_s == pytest.approx(seen.time_s, rel=0.1)


def test_a_long_round_is_looked_at_within_when_the_guest_may_be_slowed() -> None:
    """QEMU's timer of 5 s: without it a first judgement would come after a round of more than 5 s only."""
    settings = replace(limited(0.3), slows=AutoConverge(), deadline_s=300.0)
    wanted = request((128, 60e6), memory=256, held=160, link=20e6, settings=settings)
    seen, found = paged(wanted, (128, 60e6), slows=(20, 10, 99)).run(), course(wanted, BARE)
    assert seen.ended
    assert found.ends
    assert found.time_s == pytest.approx(seen.time_s, rel=0.1)
    assert found.throttle == pytest.approx(seen.throttle, abs=0.101)


def test_post_copy_sends_what_is_dirty_after_the_switch() -> None:
    settings = replace(limited(0.3), turns=PostCopy(after_round=1))
    wanted = request((128, 400e6), memory=256, held=160, settings=settings)
    seen, found = paged(wanted, (128, 400e6), start_postcopy_after=1).run(), course(wanted, BARE)
    assert found.time_s == pytest.approx(seen.time_s, rel=0.03)
    assert found.data_bytes == pytest.approx(seen.data_bytes, rel=0.03)
    assert found.pause_s == BARE.pause_s
    assert found.waits_s > 0


def test_limits_that_rise_in_steps_end_it_when_one_fits() -> None:
    settings = Settings("stepped-limit", nova_limits(1.0, 5, 3, 1), deadline_s=120.0)
    wanted = request((128, 160e6), memory=256, held=160, settings=settings)
    seen, found = paged(wanted, (128, 160e6)).run(), course(wanted, BARE)
    assert seen.ended
    assert seen.time_s > 6
    assert found.time_s == pytest.approx(seen.time_s, rel=0.05)
    assert found.pause_s == pytest.approx(seen.pause_s, rel=0.15)
    assert not course(replace(wanted, settings=replace(limited(0.2), deadline_s=120.0)), BARE).ends


def test_a_guest_that_is_stopped_at_a_moment_stands_until_all_of_it_is_there() -> None:
    settings = replace(limited(0.03), paused=Moment.model_validate({"after": "1s"}))
    found = course(request((128, 400e6), settings=settings), Parameters(pause_s=0.02, lead_s=0.0))
    assert found.time_s is not None
    assert found.pause_s is not None
    assert found.time_s == pytest.approx(1.0 + found.pause_s)
    left = 300 * MIB * (1 + 8 / 4096) - GIGABIT * 0.97
    assert found.pause_s > left / GIGABIT


def test_it_is_cancelled_at_its_deadline() -> None:
    wanted = request((128, 20e6))
    ended = course(wanted, BARE)
    assert ended.time_s is not None
    before = replace(wanted, settings=replace(wanted.settings, deadline_s=ended.time_s - 0.01))
    after = replace(wanted, settings=replace(wanted.settings, deadline_s=ended.time_s + 0.01))
    assert not course(before, BARE).ends
    assert course(after, BARE) == ended


def test_compression_shortens_the_pause_too_for_the_limit_counts_pages() -> None:
    settings = Settings.of(Policy(multifd=Multifd(compression="zstd")), FIXED, wire=0.5, again=0.5)
    plain, packed = course(request((128, 80e6)), BARE), course(request((128, 80e6), settings=settings), BARE)
    assert packed.data_bytes < 0.6 * plain.data_bytes
    assert plain.pause_s is not None
    assert packed.pause_s is not None
    assert packed.pause_s < 0.7 * plain.pause_s


def test_compression_that_is_slower_than_the_link_takes_its_own_time() -> None:
    settings = Settings.of(Policy(multifd=Multifd(compression="zlib")), FIXED, wire=0.5, again=0.5, channel_Bps=30e6)
    found = course(request(settings=settings), BARE)
    assert found.time_s == pytest.approx(300 * MIB / 30e6, rel=0.02)


def test_xbzrle_counts_only_for_what_goes_again() -> None:
    settings = Settings.of(Policy(xbzrle=Xbzrle()), FIXED, again=0.1)
    idle, plain = course(request(settings=settings), BARE), course(request(), BARE)
    assert idle.data_bytes == plain.data_bytes
    assert course(request((128, 160e6), settings=settings), BARE).ends
    assert not course(request((128, 160e6)), BARE).ends


@pytest.mark.parametrize(
    ("policy", "names"),
    [
        (BUILT_IN["dirty-limit"], "dirty limit"),
        (Policy(parameters={"throttle-trigger-threshold": 90}), "throttle-trigger-threshold"),
        (BUILT_IN["multifd-zstd"], "compresses"),
        (BUILT_IN["xbzrle"], "XBZRLE"),
    ],
)
def test_a_policy_without_a_rule_is_refused(policy: Policy, names: str) -> None:
    with pytest.raises(NotPredicted, match=f"cannot be predicted, because .*{names}") as refused:
        Settings.of(policy, FIXED)
    assert refused.value.code == 3


def test_a_link_or_a_limit_that_nobody_knows_is_refused() -> None:
    with pytest.raises(NotPredicted, match="link's rate"):
        request(link=0.0)
    with pytest.raises(NotPredicted, match="limit at the request"):
        request(settings=Settings("pre-copy", ()))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("pre-copy", "pre-copy"),
        ("auto-converge", "auto-converge"),
        ("post-copy", "post-copy"),
        ("post-copy-preempt", "post-copy-preempt"),
        ("multifd", "multifd"),
        ("tls", "tls"),
    ],
)
def test_each_kind_of_policy_has_its_form(name: str, form: str) -> None:
    assert Settings.of(BUILT_IN[name], FIXED).form == form
    assert Settings.of(BUILT_IN[name], nova_limits(0.5, 10, 75, 1)).form == f"{form}+stepped-limit".removeprefix(
        "pre-copy+"
    )


def test_nova_s_limits_are_those_of_its_documentation() -> None:
    """live_migration_downtime 500 ms, _steps 10, _delay 75 s, for a guest of 3 GiB."""
    steps = nova_limits(0.5, 10, 75, 3)
    assert [step.at_s for step in steps[:3]] == [0, 225, 450]
    assert [round(1000 * step.limit_s) for step in (steps[0], steps[1], steps[-1])] == [50, 95, 500]
    assert len(steps) == 11


SETS = st.lists(st.tuples(st.floats(1, 400), st.floats(4, 8.7)), max_size=3)


def _ended(found: Course) -> float:
    return found.time_s if found.time_s is not None else math.inf


def _drawn(sets: list[tuple[float, float]], held: float, link: float, limit: float) -> Request:
    settings = replace(limited(10**limit), deadline_s=300.0)
    return request(*((size, 10**rate) for size, rate in sets), memory=2048, held=held, link=10**link, settings=settings)


ANY = (SETS, st.floats(0, 900), st.floats(7, 9.3), st.floats(-2, 0.3))


@given(*ANY, st.floats(1, 4))
def test_more_dirtying_never_shortens(
    sets: list[tuple[float, float]], held: float, link: float, limit: float, more: float
) -> None:
    wanted = _drawn(sets, held, link, limit)
    faster = replace(wanted, guest=replace(wanted.guest, dirtying=wanted.guest.dirtying.times(more)))
    assert _ended(course(faster, BARE)) >= _ended(course(wanted, BARE)) - 1e-6


@given(*ANY, st.floats(1, 4))
def test_a_faster_link_never_lengthens(
    sets: list[tuple[float, float]], held: float, link: float, limit: float, more: float
) -> None:
    wanted = _drawn(sets, held, link, limit)
    assert _ended(course(replace(wanted, link_Bps=more * wanted.link_Bps), BARE)) <= _ended(course(wanted, BARE)) + 1e-6


@given(*ANY)
def test_no_pause_is_longer_than_the_limit_with_what_surrounds_it(
    sets: list[tuple[float, float]], held: float, link: float, limit: float
) -> None:
    found = course(_drawn(sets, held, link, limit), BARE)
    assert found.pause_s is None or found.pause_s <= 10**limit + 0.05


@pytest.mark.parametrize("link_Bps", [30e6, 120e6])
def test_what_waits_in_buffers_goes_over_while_the_guest_stands(link_Bps: float) -> None:
    """Each connection has buffers of its own; the migration takes no longer for it."""
    known = request(link=link_Bps, settings=limited(0.0))
    none = course(known, BARE)
    assert none.time_s is not None
    four = replace(known, settings=replace(known.settings, connections=4))
    for asked, connections in ((known, 1), (four, 4)):
        found = course(asked, replace(BARE, backlog_bytes=4e6))
        assert found.pause_s == pytest.approx(connections * 4e6 / link_Bps)
        assert found.time_s == pytest.approx(none.time_s, rel=0.02)
        assert found.data_bytes == pytest.approx(none.data_bytes)
