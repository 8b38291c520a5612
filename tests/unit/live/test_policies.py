"""The end of a migration, foretold under each policy: against QEMU's loop, page by page (qemuloop.py)."""

from dataclasses import replace
from typing import Any

import pytest
from faketrial import FACTORS
from foretelling import foretold, learnt, reasoned, terms, worst
from looptraces import GIGABIT_BPS, Trace, traced

from migrascope.live.experience import known, past
from migrascope.model.policy import AutoConverge, Moment


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("rate", [0.0, 40e6, 80e6])
def test_pre_copy(rate: float, seed: int) -> None:
    trace = traced(rate, seed=seed)
    said = foretold(trace, terms(rate), learnt(rate))
    assert worst(said, trace.took_s) < 0.1
    assert reasoned(said)


@pytest.mark.parametrize("rate", [5e6, 20e6])
def test_what_is_sent_no_faster_than_it_may_ends_as_fast_as_the_link_carries(rate: float) -> None:
    """With a limit of 1 s the last 30 MB take a quarter of that; whether or not an earlier migration showed how its
    memory goes."""
    guest: dict[str, Any] = {"held_mib": 200, "limit_s": 1.0, "until_s": 30.0, "max_bandwidth": 30e6}
    trace, earlier = traced(rate, **guest), traced(rate, **guest, seed=2)
    how = terms(rate, limit_s=1.0, bound_Bps=30e6)
    taught = known(FACTORS, [found for found in [past(FACTORS, earlier.samples, took_s=earlier.took_s)] if found])
    assert taught.passages
    for told in (taught, replace(learnt(rate, 200), speed_Bps=30e6)):
        said = foretold(trace, how, told)
        assert worst(said, trace.took_s) < 0.03
        assert reasoned(said)
        assert worst(foretold(trace, replace(how, bound_Bps=None), told), trace.took_s) > 0.04


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("rate", [200e6, 400e6])
def test_auto_converge_is_foretold_to_slow_the_guest_when_qemu_will(rate: float, seed: int) -> None:
    """From the second look on it is known in which period QEMU is, and how often it has found too much: QEMU's event
    says when each look was."""
    trace = traced(rate, seed=seed, until_s=60.0, slows=(20, 10, 99))
    said = foretold(trace, terms(rate, slows=AutoConverge()), learnt(rate))
    assert {forecast.verdict for forecast in said} <= {"ends", "unknown"}
    assert worst(said, trace.took_s) < 0.1
    assert reasoned(said)


def test_a_guest_with_time_to_spare_is_slowed_later() -> None:
    """Half of its processor is idle: nothing is won until the throttle takes more than that."""
    slows: dict[str, Any] = {"slows": (20, 10, 99)}
    idle, busy = traced(250e6, busy=0.5, until_s=60.0, **slows), traced(250e6, until_s=60.0, **slows)
    assert idle.took_s is not None
    assert busy.took_s is not None
    assert idle.took_s > busy.took_s + 2
    how = terms(250e6, slows=AutoConverge())
    assert worst(foretold(idle, replace(how, busy=0.5), learnt(250e6)), idle.took_s) < 0.1
    assert worst(foretold(busy, how, learnt(250e6)), busy.took_s) < 0.1


def test_a_guest_that_has_less_to_spare_than_its_processor_time_says_ends_within_the_interval() -> None:
    trace = traced(250e6, until_s=60.0, slows=(20, 10, 99))
    assert trace.took_s is not None
    said = foretold(trace, terms(250e6, slows=AutoConverge(), busy=0.5), learnt(250e6))
    late = [forecast for forecast in said if trace.took_s / 2 <= forecast.at_s < trace.took_s]
    assert late
    assert all(forecast.low_s is not None and forecast.low_s <= trace.took_s for forecast in late)


def test_a_guest_that_has_more_to_spare_than_its_load_says_ends_within_the_interval() -> None:
    """It is slowed later: the later end counts on what its writer leaves of its processor."""
    trace = traced(250e6, busy=0.5, until_s=60.0, slows=(20, 10, 99))
    assert trace.took_s is not None
    how = terms(250e6, slows=AutoConverge(), busy=0.8, least_busy=0.5)
    late = [item for item in foretold(trace, how, learnt(250e6)) if trace.took_s / 2 <= item.at_s < trace.took_s]
    assert late
    assert all(item.high_s is None or item.high_s >= trace.took_s for item in late)
    alone = foretold(trace, replace(how, least_busy=1.0), learnt(250e6))
    assert any(item.high_s is not None and item.high_s < trace.took_s for item in alone)


@pytest.mark.parametrize(("rate", "limit_s"), [(80e6, 0.6), (120e6, 0.6), (80e6, 1.0)])
def test_a_limit_that_allows_a_look_before_the_first_copy_is_made(rate: float, limit_s: float) -> None:
    """What the look adds is of what the guest writes to; what was left is of any memory, and goes first."""
    trace = traced(rate, limit_s=limit_s)
    said = foretold(trace, terms(rate, limit_s=limit_s), learnt(rate))
    assert worst(said, trace.took_s) < 0.05
    assert reasoned(said)


@pytest.mark.parametrize("rate", [0.0, 40e6, 160e6, 400e6])
@pytest.mark.parametrize("slow_Bps", [0.0, 60e6])
def test_post_copy_pulls_the_rest_once(rate: float, slow_Bps: float) -> None:
    """Where the destination takes single pages more slowly than the stream, that shows soon after the switch."""
    trace = traced(rate, start_postcopy_s=0.5, postcopy_Bps=slow_Bps)
    said = foretold(trace, terms(rate, turns=Moment.model_validate({"after": "500ms"})), learnt(rate))
    late = [forecast for forecast in said if forecast.at_s > 1.0] if slow_Bps else said
    if not slow_Bps or rate:
        assert worst(late, trace.took_s) < 0.1
    assert reasoned(said)


def test_compression_sends_more_pages_than_the_link_carries_bytes() -> None:
    trace = traced(80e6, wire_share=0.5)
    said = foretold(trace, terms(80e6), replace(learnt(80e6), speed_Bps=2 * GIGABIT_BPS))
    assert worst(said, trace.took_s) < 0.1


def test_a_stream_that_its_processor_holds_up_ends_when_that_is_done() -> None:
    """As with TLS: 60 MB/s of pages on a link that carries 117."""
    trace = traced(30e6, page_s=4096 / 60e6)
    said = foretold(trace, terms(30e6), replace(learnt(30e6), speed_Bps=60e6))
    assert worst(said, trace.took_s) < 0.1


@pytest.mark.parametrize("delta", [0.05, 2.0], ids=["few bytes change", "whole pages change"])
def test_xbzrle_is_neither_late_nor_without_end(delta: float) -> None:
    """Pages that overflow are sent whole; QEMU counts them twice."""
    trace = traced(80e6, xbzrle=2**14, delta_share=delta)
    said = foretold(trace, terms(80e6, deadline_s=15.0), learnt(80e6))
    assert {forecast.verdict for forecast in said} <= {"ends", "unknown"}
    if delta > 1:
        assert worst(said, trace.took_s) < 0.1


def test_what_a_writer_reaches_counts_and_not_what_it_was_asked_for() -> None:
    trace = traced(60e6)
    samples = [replace(sample, written_Bps=60e6) for sample in trace.samples]
    said = foretold(Trace(samples, trace.took_s), terms(160e6), learnt(160e6))
    assert worst(said, trace.took_s) < 0.1


@pytest.mark.parametrize("rate", [200e6, 400e6])
def test_nobody_says_it_is_too_late_before_there_are_rounds_to_show_it(rate: float) -> None:
    trace = traced(rate, until_s=60.0, slows=(20, 10, 99))
    how = terms(rate, slows=AutoConverge(), deadline_s=6.0)
    said = foretold(trace, how, learnt(rate))
    assert trace.took_s is not None
    assert trace.took_s > 6.0
    assert said[-1].verdict == "late"
    assert "late" not in {forecast.verdict for forecast in said if forecast.at_s < 2.0}
