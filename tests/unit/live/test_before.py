"""What is seen of a guest before its migration, and what it does for the first forecast."""

import json
from dataclasses import replace

import pytest
from looptraces import GIGABIT_BPS, MIB, traced

from migrascope.live.before import Before
from migrascope.live.dirtied import fitted, grown, scatter
from migrascope.live.eta import at_request
from migrascope.live.experience import NOTHING, Known
from migrascope.live.history import Turn
from migrascope.live.terms import Terms
from migrascope.mechanism.dirtying import Dirtying, WorkingSet

PERIODS_S = (0.05, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
PLANNED = Terms(0.3, link_Bps=125e6, memory_bytes=512 * MIB)


def sampled(true: Dirtying, held: float) -> Before:
    before = Before()
    before.take("sample", (1, 2, "held", 0.0, 4096, json.dumps(round(held * 4096)), ""))
    for period_s in PERIODS_S:
        rate = int(true.within(period_s) / period_s / MIB)
        before.take("sample", (1, 2, "dirty", period_s, 16384, json.dumps({"dirty-rate": rate}), ""))
    before.take("sample", (1, 0, "dirty", 8.0, 16384, "", "it was not asked"))
    return before


def test_samples_of_the_guest_say_what_it_holds_and_dirties() -> None:
    true = Dirtying((WorkingSet(128 * MIB, 60e6),))
    before = sampled(true, 228 / 512)
    terms, known = before.terms(PLANNED), before.known(NOTHING, PLANNED)
    assert terms.known
    assert terms.sampled.within(1.5) == pytest.approx(true.within(1.5), rel=0.05)
    assert known.first_copy == pytest.approx(228 * MIB, rel=0.01)


def test_with_samples_the_first_end_is_near_where_no_earlier_trial_tells() -> None:
    trace = traced(60e6)
    before = sampled(Dirtying((WorkingSet(128 * MIB, 60e6),)), 228 / 512)
    learnt = Known(lead_s=0.0, speed_Bps=GIGABIT_BPS)
    said = at_request(before.terms(PLANNED), before.known(learnt, PLANNED))
    assert said.end_s == pytest.approx(trace.took_s, rel=0.1)


def test_of_the_plans_writer_more_is_known_than_samples_show() -> None:
    """It writes in order: the curve has a kink at 0.72 s. Beside it the system dirties 4 MiB at once."""
    planned = replace(PLANNED, write_Bps=70e6, write_set_bytes=48 * MIB, write_pattern="sequential")
    true = Dirtying((WorkingSet(48 * MIB, 70e6, in_order=True), WorkingSet(4 * MIB, 80e6)))
    found = sampled(true, 0.4).terms(planned).sampled
    for period_s in (0.1, 0.3, 0.6, 0.72, 0.9):
        assert found.within(period_s) == pytest.approx(true.within(period_s), rel=0.04)


def test_hot_pages_are_a_tenth_of_the_set() -> None:
    hot, others = replace(PLANNED, write_Bps=1e8, write_set_bytes=10**8, write_pattern="hot").writer.sets
    assert (hot.size, others.size) == pytest.approx((1e7, 9e7))
    assert (hot.rate_Bps, others.rate_Bps) == pytest.approx((9.1e7, 9e6))
    assert PLANNED.writer == Dirtying()


NS = 1_000_000_000
WRITES = replace(PLANNED, write_Bps=160e6, write_set_bytes=128 * MIB)


def busy(idle: tuple[float, ...], cpus: int = 1, until_s: float = 3.0) -> Before:
    """A guest that was idle for so long by the end of each second, with a writer that takes 0.4 of a processor and
    counts until until_s."""
    before = Before()
    for at in range(11):
        at_ns = round((until_s - 2 + at / 5) * NS)
        before.take("stress", (at_ns, at_ns, 1, "kind=memory", "running", at * 32_000_000, 0, at / 5, 0.08 * at, ""))
    for at, idle_s in enumerate(idle, start=1):
        before.take("guest_load", (at * NS, at * NS, float(at), idle_s, cpus))
    return before


def test_what_a_guest_has_to_spare_is_what_its_processor_was_idle_in_the_last_second() -> None:
    """What else runs in it takes of the processor, too: a throttle slows it as soon as both no longer fit."""
    terms = busy((0.0, 0.0, 0.3)).terms(WRITES)
    assert (terms.busy, terms.sparing.busy) == pytest.approx((0.7, 0.4))
    assert busy((0.0, 0.3, 0.6)).terms(WRITES).busy == pytest.approx(0.7)
    assert busy((0.0, 0.9, 1.8)).terms(WRITES).busy == pytest.approx(0.4)  # the writer alone needs more


@pytest.mark.parametrize(
    "before", [busy((0.3,)), busy((0.0, 0.0, 0.3), cpus=2), busy((0.0, 0.0, 0.3), until_s=5.1), busy(())]
)
def test_without_a_load_of_its_last_seconds_the_writer_says_what_it_has_to_spare(before: Before) -> None:
    """Asked once, with several processors, long before, or never."""
    terms = before.terms(WRITES)
    assert (terms.busy, terms.sparing.busy) == pytest.approx((0.4, 0.4))


def test_the_guests_load_is_nothing_to_go_by_without_a_writer() -> None:
    assert busy((0.0, 0.0, 0.3)).terms(PLANNED) == PLANNED


def test_without_samples_nothing_is_known_before() -> None:
    assert Before().terms(PLANNED) == PLANNED
    assert Before().known(NOTHING, PLANNED) == NOTHING


def test_pages_that_were_not_looked_at_do_not_say_that_a_guest_writes_nothing() -> None:
    before = Before()
    before.take("sample", (1, 2, "dirty", 1.0, 16384, json.dumps({"dirty-rate": 0}), ""))
    assert before.terms(replace(PLANNED, write_Bps=1e6, write_set_bytes=MIB)).known
    assert not before.terms(PLANNED).known


def turn(took_s: float, true: Dirtying, throttle: float = 0.0, left: float = 0.0) -> Turn:
    clean = 1 - left / true.size
    dirtied = round(clean * true.within((1 - throttle) * took_s))
    return Turn(took_s, took_s, round(left), dirtied, round(left) + dirtied, throttle)


@pytest.mark.parametrize(
    "true", [Dirtying((WorkingSet(1e8, 6e7),)), Dirtying((WorkingSet(1e7, 9e7), WorkingSet(1e8, 1e7)))]
)
def test_rounds_say_how_much_faster_it_writes_than_was_seen_before(true: Dirtying) -> None:
    seen = true.times(0.4)
    found = fitted([turn(0.3, true), turn(0.2, true, 0.3, 2e7)], seen, 1.0)
    for got, wanted in zip(found.sets, true.sets, strict=True):
        assert got.size == wanted.size
        assert got.rate_Bps == pytest.approx(wanted.rate_Bps, rel=0.01)


def test_rounds_say_how_much_more_there_is_than_was_sampled() -> None:
    """At no rate could the sampled sets have added so much."""
    seen = Dirtying((WorkingSet(1e7, 9e7), WorkingSet(2e7, 1e7)))
    true = Dirtying(tuple(WorkingSet(1.5 * each.size, 1.5 * each.rate_Bps) for each in seen.sets))
    found = grown([turn(2.0, true), turn(0.3, true)], seen, 1.0)
    assert [each.size for each in found.sets] == pytest.approx([1.5e7, 3e7])
    assert [each.rate_Bps for each in found.sets] == pytest.approx([1.35e8, 1.5e7])
    assert grown([], seen, 1.0) == seen
    assert grown([Turn(1.0, 1.0, 0, 0, 0)], seen, 1.0) == Dirtying()


def test_what_the_first_copy_leaves_is_of_any_memory() -> None:
    """In the order of addresses: of 200 MB that hold something the last 20 are left, so that a tenth of each set is."""
    seen = Dirtying((WorkingSet(2e7, 1e8),))
    dirtied = round(0.9 * seen.within(2.0))
    first = Turn(2.0, 2.0, 20_000_000, dirtied, 20_000_000 + dirtied, held=200_000_000)
    assert grown([first], seen, 1.0).size == pytest.approx(2e7)


def test_rounds_in_which_nothing_was_written_say_so() -> None:
    shape = Dirtying((WorkingSet(1e8, 6e7),))
    assert fitted([Turn(1.0, 1.0, 0, 0, 0)], shape, 1.0).within(1.0) == pytest.approx(0.0, abs=1.0)
    assert fitted([Turn(0.0, 0.0, 0, 0, 0)], shape, 1.0) == Dirtying()


def test_how_far_rounds_scatter() -> None:
    """Twice as much and none, of rounds in which as much was expected: 100 % off either way."""
    true = Dirtying((WorkingSet(1e8, 6e7),))
    usual = turn(0.3, true)
    first = Turn(2.0, 2.0, 0, 90_000_000, 90_000_000, held=200_000_000)
    assert scatter([usual, usual, first], true, 1.0) == pytest.approx(0.0, abs=1e-6)
    apart = [replace(usual, dirtied=0), replace(usual, dirtied=2 * usual.dirtied)]
    assert scatter(apart, true, 1.0) == pytest.approx(1.0)
    assert scatter([apart[0], first], true, 1.0) == 0.0
    assert scatter(apart, Dirtying(), 1.0) == 0.0
