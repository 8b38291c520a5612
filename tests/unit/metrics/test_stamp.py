"""Delay and loss of each way from STAMP's packets, against truths that are put in."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from faketrial import PLAN, SCRIPT, record
from hypothesis import given
from hypothesis import strategies as st

from migrascope.metrics.packets import Ints
from migrascope.metrics.stamp.clock import Clock
from migrascope.metrics.stamp.direction import Gap, Uncountable, gaps, lost
from migrascope.metrics.stamp.measure import ipdv, measure
from migrascope.metrics.stamp.probes import Answers, Probes
from migrascope.metrics.windows import windows_of
from migrascope.model.measured import Measured
from migrascope.store.recording import Recording

MS, S = 1_000_000, 1_000_000_000
WALL = 1_700_000_000 * S
START = 5000 * S
NONE = np.array([], dtype=np.int64)


def ints(values: object) -> Ints:
    return np.asarray(values, dtype=np.int64)


def probes(
    out_ns: Ints, back_ns: Ints, offset_ns: Ints, *, spacing_ns: int = 10 * MS, held_ns: int = MS // 2,
    gone: tuple[Ints, Ints] = (NONE, NONE), start: int = START,
) -> Probes:  # fmt: skip
    """Packets with these delays, to a reflector whose clock is ahead by offset_ns for each; gone: places of those that
    were lost on the way out and on the way back."""
    count = len(out_ns)
    seq = np.arange(count)
    sent = start + spacing_ns * seq
    reached = sent + out_ns
    came = np.setdiff1d(seq, gone[0])
    came = came[np.argsort(reached[came], kind="stable")]
    number = np.arange(len(came))
    home = ~np.isin(came, gone[1])
    rows, numbers = came[home], number[home]
    recv = reached[rows] + offset_ns[rows]
    arrived = reached[rows] + held_ns + back_ns[rows]
    return Probes(seq, sent, Answers(rows, numbers, recv, recv + held_ns, arrived), 10**18)


def constant(value: int, count: int) -> Ints:
    return np.full(count, value, dtype=np.int64)


def noisy(least: int, count: int, seed: int) -> Ints:
    return ints(least + np.random.default_rng(seed).exponential(MS, count))


@pytest.mark.parametrize(("out", "back"), [(1, 1), (1, 3), (5, 1), (0, 2)])
@pytest.mark.parametrize("drift", [0.0, 300e-6, -300e-6])
def test_the_bound_holds_the_truth(out: int, back: int, drift: float) -> None:
    """Whatever each way takes, and though the clock drifts by 0.3 ms a second."""
    count = 1000
    offset = WALL + ints(drift * 10 * MS * np.arange(count))
    seen = probes(noisy(out * MS, count, 1), noisy(back * MS, count, 2), offset)
    clock = Clock.of(seen, None)
    assert clock.before is not None
    error = clock.before.offset(seen.sent_ns) - offset
    assert np.abs(error).max() <= clock.before.bound_ns
    assert clock.before.bound_ns < ((out + back) / 2 + 0.5) * MS
    delays = clock.delays(seen)
    trips = seen.of_answer(seen.answers.arrived_ns) - seen.sent_ns - MS // 2
    apart = np.abs(delays.out_ns + delays.back_ns - trips)
    assert (apart <= abs(clock.before.rate) * (trips + MS) + 2).all(), "both ways are the round trip"


@given(step=st.integers(-2 * S, 2 * S), seed=st.integers(0, 1000))
def test_a_step_over_the_pause_is_found_within_its_bound(step: int, seed: int) -> None:
    count, pause = 900, (START + 4 * S, START + 4 * S + 200 * MS)
    at = START + 10 * MS * np.arange(count)
    offset = constant(WALL, count) + np.where(at >= pause[1], step, 0)
    during = np.flatnonzero((at > pause[0] - 5 * MS) & (at < pause[1]))
    seen = probes(noisy(MS, count, seed), noisy(2 * MS, count, seed + 1), offset, gone=(during, NONE))
    clock = Clock.of(seen, pause)
    found = clock.step_ns()
    assert found is not None
    assert abs(found[0] - step) <= found[1] < 4 * MS
    delays = clock.delays(seen)
    true = noisy(MS, count, seed)
    assert np.abs(delays.out_ns - true)[seen.answered].max() <= 2 * MS


def test_a_packet_held_over_the_pause_has_its_delay_by_the_clock_of_after() -> None:
    """Sent just before, it waits at the tap; the guest's clock stood still meanwhile."""
    count, stood = 900, 250 * MS
    pause = (START + 4 * S + MS, START + 4 * S + MS + stood)
    at = START + 10 * MS * np.arange(count)
    out = constant(MS, count)
    held = np.flatnonzero((at + out > pause[0]) & (at < pause[1]))
    out[held] = pause[1] + 3 * MS - at[held]
    offset = constant(WALL, count) - np.where(at + out >= pause[1], stood, 0)
    delays = Clock.of(seen := probes(out, constant(MS, count), offset), pause).delays(seen)
    assert len(held) > 20
    assert np.abs(delays.out_ns - out).max() < MS
    assert delays.out_after[held].all()


def test_ipdv_is_signed_and_undefined_where_one_is_lost() -> None:
    known = np.array([True, True, False, True, True])
    assert ipdv(ints([5, 3, 0, 9, 10]), known).tolist() == [-2, 1]


@given(st.data())
def test_losses_are_told_apart_by_way(data: st.DataObject) -> None:
    """Whatever was lost, the truth lies in what is told, and is it where no gap reaches over the window's end."""
    count = data.draw(st.integers(3, 60))
    fate = data.draw(st.lists(st.sampled_from("....ob"), min_size=count, max_size=count))
    out, back = (ints([at for at, way in enumerate(fate) if way == which]) for which in "ob")
    seen = probes(constant(MS, count), constant(MS, count), constant(WALL, count), gone=(out, back))
    answered = np.flatnonzero(seen.answered)
    first, last = sorted(data.draw(st.tuples(st.integers(0, count), st.integers(0, count))))
    here = lost(gaps(seen), first, last)
    true_out = int(((out >= first) & (out < last)).sum())
    true_all = true_out + int(((back >= first) & (back < last)).sum())
    tail = int(answered[-1]) + 1 if len(answered) else 0
    unknown = sum(fate[at] != "." for at in range(max(first, tail), last))
    assert (here.total, here.unknown) == (true_all, unknown)
    known_out = int(((out >= first) & (out < min(last, tail))).sum())
    assert here.out_low <= known_out <= here.out_high
    whole = lost(gaps(seen), 0, tail)
    assert whole.out_low == whole.out_high == int((out < tail).sum())


def in_any_order(order: list[int], gone: tuple[Ints, Ints]) -> Probes:
    """Twelve packets, from the fifteenth on, come in any order between others that come in turn."""
    delay = constant(MS, 40)
    for at, place in enumerate(order):
        delay[14 + at] = 200 * MS + 20 * place * MS - 10 * at * MS
    delay[26:] = 900 * MS
    return probes(delay, constant(MS, 40), constant(WALL, 40), gone=gone)


ORDERS, SOME = st.permutations(range(12)), st.sets(st.integers(14, 25), max_size=4).map(sorted).map(ints)


@given(ORDERS, SOME)
def test_packets_that_overtake_one_another_are_no_loss(order: list[int], out: Ints) -> None:
    here = lost(gaps(in_any_order(order, (out, NONE))), 0, 40)
    assert (here.total, here.out_low, here.out_high, here.unknown) == (len(out), len(out), len(out), 0)


@given(ORDERS, SOME)
def test_of_overtaken_packets_whose_answers_are_lost_nothing_false_is_said(order: list[int], back: Ints) -> None:
    try:
        here = lost(gaps(in_any_order(order, (NONE, back))), 0, 40)
    except Uncountable:
        return
    assert (here.total, here.out_low, here.out_high) == (len(back), 0, 0)


def counted(seq: list[int], number: list[int], sent: int) -> Probes:
    stamps = constant(WALL, len(seq))
    answers = Answers(ints(seq), ints(number), stamps, stamps, stamps)
    return Probes(ints(range(sent)), START + MS * ints(range(sent)), answers, 10**18)


def test_a_packet_doubled_on_its_way_is_said() -> None:
    """Packet 2 comes twice and both answers are lost: whichever way packet 3 was lost, the count does not say."""
    with pytest.raises(Uncountable, match="doubled"):
        gaps(counted([0, 1, 4], [0, 1, 5], 5))
    assert gaps(counted([0, 1, 2, 2, 3, 4], [0, 1, 2, 3, 4, 5], 5)) == [], "doubled, and nothing lost"


def test_a_reflector_that_counts_anew_is_said() -> None:
    with pytest.raises(Uncountable, match="count anew"):
        gaps(counted([0, 5, 1, 6], [0, 0, 1, 1], 7))


def test_a_gap_over_a_windows_end_is_a_range() -> None:
    gap = Gap(ints([4, 5, 6, 7]), 2)
    here = lost([gap], 0, 7)
    assert (here.total, here.out_low, here.out_high) == (3, 1, 2)
    assert lost([gap], 0, 8).out_low == lost([gap], 0, 8).out_high == 2


def planted(folder: Path, seen: Probes) -> Recording:
    """The trial with these packets beside its own."""
    recording, answers = Recording(folder), seen.answers
    constants = {"source": "stamp", "host": "client", "instance": "vm-1", "migration": "m-1"}
    sent = {"seq": seen.seq, "due_ns": seen.sent_ns, "sent_ns": seen.sent_ns, **constants}
    wall = answers.arrived_ns + recording.wall_clock.offset_ns()
    replies = {
        "seq": answers.seq, "number": answers.number, "reflector_recv_wall_ns": answers.reflector_recv_ns,
        "reflector_sent_wall_ns": answers.reflector_sent_ns, "ttl": constant(64, len(wall)), "recv_wall_ns": wall,
        "recv_ns": answers.arrived_ns + MS, **constants,
    }  # fmt: skip
    pl.DataFrame(sent).write_parquet(folder / "stamp_sent.parquet")
    pl.DataFrame(replies).write_parquet(folder / "stamp_reply.parquet")
    return Recording(folder)


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Measured]:
    """Of a trial with 1 ms out and 2 ms back, in which the guest's clock is 0.3 s ahead and stands still while the
    guest does: all packets of that time are lost on their way out but for three, whose answers are lost."""
    trial = record(tmp_path, PLAN)
    windows = windows_of(trial)
    assert windows.before is not None
    assert windows.stop is not None
    assert windows.resume is not None
    begin, stood = windows.before[0], windows.resume - windows.stop
    count = (windows.end - 3 * S - begin) // (10 * MS)
    at = begin + 10 * MS * np.arange(count)
    offset = constant(trial.wall_clock.offset_ns() + 300 * MS, count) - np.where(at >= windows.resume, stood, 0)
    paused = np.flatnonzero((at + 4 * MS > windows.stop) & (at < windows.resume))
    gone = paused[3:], paused[:3]
    seen = probes(constant(MS, count), constant(2 * MS, count), offset, gone=gone, start=begin)
    return measure(planted(trial.folder, seen), windows)


@pytest.mark.parametrize("window", ["before", "during", "switchover", "after"])
def test_delays_of_a_trial_are_the_truth_within_the_bound(found: dict[str, Measured], window: str) -> None:
    for way, true in (("out", 1e-3), ("back", 2e-3)):
        for p in ("p50", "p95", "max"):
            measured = found[f"probe.owd_{way}_s.{window}.{p}"]
            assert measured.value is not None
            assert measured.bound is not None
            assert measured.bound == pytest.approx(1.5e-3, abs=1e-5)
            assert dict(measured.errors) == {"clock": measured.bound}
            assert abs(measured.value - true) <= measured.bound
        for key in (
            f"ipdv_{way}_s.{window}.p95",
            f"pdv_{way}_s.{window}.p95",
            f"owd_smoothed_jitter_{way}_s.{window}.max",
        ):
            assert found[f"probe.{key}"].value == pytest.approx(0, abs=2e-6), key


def test_losses_and_the_clock_of_a_trial(found: dict[str, Measured]) -> None:
    pause = SCRIPT.pause_s / 0.01
    out, back = (found[f"probe.loss_{way}_ratio.during"] for way in ("out", "back"))
    assert out.value is not None
    assert out.samples is not None
    assert back.value is not None
    assert back.samples is not None
    assert out.value * out.samples == pytest.approx(pause - 3, abs=1.01)
    assert back.value * back.samples == pytest.approx(3)
    assert (out.bound, back.bound) == pytest.approx((0.5 / out.samples, 0.5 / back.samples))
    assert found["probe.loss_out_ratio.before"].value == found["probe.loss_back_ratio.after"].value == 0
    step = found["probe.clock_step_s"]
    assert step.value == pytest.approx(-SCRIPT.pause_s, abs=1e-3)
    assert step.bound == pytest.approx(3e-3, abs=1e-4)
    assert dict(step.errors) == {"clock": step.bound}
    ahead = found["probe.clock_offset_s.before"]
    assert ahead.value is not None
    assert ahead.bound is not None
    assert abs(ahead.value - 0.3) <= ahead.bound


def test_a_guest_that_never_answers_again(tmp_path: Path) -> None:
    trial = record(tmp_path, PLAN)
    windows = windows_of(trial)
    assert windows.before is not None
    assert windows.stop is not None
    count = (windows.end - 3 * S - windows.before[0]) // (10 * MS)
    dead = np.flatnonzero(windows.before[0] + 10 * MS * np.arange(count) > windows.stop)
    seen = probes(*(constant(number, count) for number in (MS, MS, WALL)), gone=(dead, NONE), start=windows.before[0])
    found = measure(planted(trial.folder, seen), windows)
    assert "no later answer says which way" in str(found["probe.loss_out_ratio.during"].reason)
    assert found["probe.owd_out_s.after.p50"].reason == "no answer in after"
    assert found["probe.clock_offset_s.after"].reason == "no answer after the pause"
    assert found["probe.clock_step_s"].reason == "no answer on one side of the pause"
    assert found["probe.loss_out_ratio.before"].value == 0


def test_a_trial_without_stamp_says_so(tmp_path: Path) -> None:
    trial = record(tmp_path, PLAN)
    found = measure(trial, windows_of(trial))
    assert {measured.reason for measured in found.values()} == {"no STAMP packets were sent (probes.stamp_rate)"}
    assert {measured.unit for key, measured in found.items() if "_ratio" in key} == {"ratio"}
    assert {measured.unit for key, measured in found.items() if "_ratio" not in key} == {"s"}
