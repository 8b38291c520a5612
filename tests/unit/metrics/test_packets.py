"""Gaps, blackout, lost time, loss and variation against plain slow references and simulated cuts."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probeseries import INTERVAL, MS, Sample, samples, spans, windows

from migrascope.metrics import echo, network
from migrascope.metrics.gaps import Silences
from migrascope.metrics.packets import TMAX_NS, Packets, to_mono
from migrascope.metrics.windows import recovery
from migrascope.model.clock import WallClock


@given(samples(), spans, st.integers(0, 2000 * MS))
def test_gaps_are_those_of_the_reference(sample: Sample, span: tuple[int, int], threshold: int) -> None:
    expected = [
        (left, right) for left, right in sample.silences() if right - left > threshold and span[0] <= left < span[1]
    ]
    seen = Silences(sample.packets()).over(threshold, span)
    assert [(gap.start_ns, gap.end_ns) for gap in seen] == expected


@given(samples(), spans)
def test_blackout_is_the_longest_gap_that_overlaps_or_follows_within_a_round_trip(
    sample: Sample, span: tuple[int, int]
) -> None:
    reached = span[1] + sample.packets().quiet_rtt_ns
    over = [right - left for left, right in sample.silences() if right > span[0] and left < reached]
    gap = network.blackout(sample.packets(), span)
    assert (gap is None) == (not over)
    if gap is not None:
        assert gap.end_ns - gap.start_ns == max(over)
        assert gap.low_s <= gap.blackout_s <= gap.gap_s


@given(samples(), spans)
def test_loss_and_lost_time_are_those_of_the_reference(sample: Sample, span: tuple[int, int]) -> None:
    lost = answered = late = 0
    lost_ns = 0.0
    packets = sample.packets()
    for at, (sent, arrived) in enumerate(zip(sample.sent, sample.arrived, strict=True)):
        if not span[0] <= sent < span[1]:
            continue
        if arrived is not None and arrived - sent <= TMAX_NS:
            answered += 1
            late += arrived - sent > 100 * MS
        elif sent + TMAX_NS <= sample.end:
            lost += 1
            following = sample.sent[at + 1] if at + 1 < len(sample.sent) else sent + round(packets.interval_ns)
            lost_ns += following - sent
    found = echo.measure(packets, windows((0, 1), span))
    assert network.lost_time_s(packets, span) == pytest.approx(lost_ns / 1e9)
    ratio, lateness = found["probe.loss_ratio.during"], found["probe.late_ratio.during"]
    if lost + answered:
        assert ratio.value == pytest.approx(lost / (lost + answered))
        assert lateness.value == pytest.approx(late / (lost + answered))
        assert ratio.samples == lost + answered
    else:
        assert ratio.value is None


@given(samples(), spans)
def test_delay_and_variation_are_those_of_the_reference(sample: Sample, span: tuple[int, int]) -> None:
    trips: list[int | None] = []
    pairs = list(zip(sample.sent, sample.arrived, strict=True))
    for sent, arrived in pairs:
        if span[0] <= sent < span[1]:
            trips.append(arrived - sent if arrived is not None and arrived - sent <= TMAX_NS else None)
    changes = [abs(b - a) for a, b in pairwise(trips) if a is not None and b is not None]
    there = [trip for trip in trips if trip is not None]
    found = echo.measure(sample.packets(), windows((0, 1), span))
    above = found["probe.rtt_pdv_s.during.p95"].value
    least = min(there, default=0)
    assert above == (pytest.approx(np.percentile([trip - least for trip in there], 95) / 1e9) if there else None)
    lost = sum(
        (arrived is None or arrived - sent > TMAX_NS) and sent + TMAX_NS <= sample.end and span[0] <= sent < span[1]
        for sent, arrived in zip(sample.sent, sample.arrived, strict=True)
    )
    heard = any(
        arrived is not None and arrived - sent <= TMAX_NS
        for sent, arrived in zip(sample.sent, sample.arrived, strict=True)
    )
    for key, values, infinite in (
        ("probe.rtt_s.during", there, lost if heard else 0), ("probe.rtt_variation_s.during", changes, 0),
    ):  # fmt: skip
        for p, rank in (("p50", 50), ("p95", 95)):
            measured, ranked = found[f"{key}.{p}"], [*sorted(values), *[TMAX_NS] * infinite]
            at = rank / 100 * (len(ranked) - 1)
            if ranked and at > len(values) - 1:
                assert (measured.value, measured.at_least) == (TMAX_NS / 1e9, True)
            else:
                assert measured.value == (pytest.approx(np.percentile(ranked, rank) / 1e9) if ranked else None)
    estimate = highest = 0.0
    for change in changes:
        estimate += (change - estimate) / 16
        highest = max(highest, estimate)
    if changes:
        assert found["probe.rtt_smoothed_jitter_s.during.max"].value == pytest.approx(highest / 1e9, abs=1e-12)


def test_a_queue_that_grows_slowly_shows_above_the_least_round_trip() -> None:
    """200 ms in a second, and back: no round trip is much longer than the one before it."""
    waits = [200 * MS - abs(at - 500) * 400_000 for at in range(1000)]
    sent = [at * INTERVAL for at in range(1000)]
    packets = Sample(sent, [at + MS + wait for at, wait in zip(sent, waits, strict=True)], 10 * TMAX_NS).packets()
    found = echo.measure(packets, windows((0, 1), (0, sent[-1] + 1)))
    variation, above = found["probe.rtt_variation_s.during.p95"].value, found["probe.rtt_pdv_s.during.p95"].value
    assert variation == pytest.approx(0.0004)
    assert above == pytest.approx(np.percentile(waits, 95) / 1e9)


@given(samples(), st.integers(0, 100))
def test_the_order_of_replies_does_not_matter_and_duplicates_do_not_count(sample: Sample, shuffle: int) -> None:
    plain, mixed = sample.packets(), sample.packets(shuffle)
    assert plain.arrived_ns.tolist() == mixed.arrived_ns.tolist()
    replies = [(seq, at) for seq, at in enumerate(sample.arrived) if at is not None]
    twice = [*replies, *((seq, at + MS) for seq, at in replies), (10_000, 5)]
    again = Packets.match(
        range(len(sample.sent)), sample.sent, [seq for seq, _ in twice], [at for _, at in twice], sample.end
    )
    assert again.arrived_ns.tolist() == plain.arrived_ns.tolist()


def simulated(cut: tuple[int, int], *, late: bool, seed: int = 0) -> Packets:
    """500 probes per second for 3 s; those sent in the cut are lost, or held until its end."""
    chance, seq = np.random.default_rng(seed), np.arange(1500)
    sent = 1000 * MS + seq * INTERVAL + chance.integers(0, 50_000, len(seq))
    arrived = sent + 250_000 + chance.integers(0, 100_000, len(seq))
    silent = (cut[0] <= sent) & (sent < cut[1])
    arrived[silent] = cut[1] + 300_000 + 5000 * np.arange(silent.sum())
    heard = ~silent | late
    return Packets.match(seq, sent, seq[heard], arrived[heard], int(sent[-1]) + 2 * TMAX_NS)


@settings(deadline=None)
@given(st.integers(1500 * MS, 1600 * MS), st.integers(10 * MS, 1000 * MS), st.booleans(), st.integers(0, 9))
def test_the_blackout_of_a_cut_is_its_length(begin: int, length: int, late: bool, seed: int) -> None:
    cut = (begin, begin + length)
    gap = network.blackout(simulated(cut, late=late, seed=seed), cut)
    assert gap is not None
    assert gap.late == late
    bound = 0.5 if late else 1.0
    assert abs(gap.blackout_s - length / 1e9) <= (bound * INTERVAL + 0.5 * MS) / 1e9


def test_corrections_are_unbiased_over_many_cuts() -> None:
    for late in (False, True):
        errors = []
        for seed in range(200):
            begin = 1500 * MS + seed * 37_129
            gap = network.blackout(simulated((begin, begin + 50 * MS), late=late, seed=seed), (begin, begin + 50 * MS))
            assert gap is not None
            errors.append(gap.blackout_s - 0.05)
        assert abs(float(np.mean(errors))) < 0.0003


def test_probes_that_come_late_are_no_loss_and_no_lost_time() -> None:
    cut = (1500 * MS, 1700 * MS)
    late, lost = simulated(cut, late=True), simulated(cut, late=False)
    span = (1000 * MS, 4000 * MS)
    assert network.lost_time_s(late, span) == 0
    assert not late.lost.any()
    assert network.lost_time_s(lost, span) == pytest.approx(0.2, abs=0.003)
    assert lost.lost.sum() == pytest.approx(100, abs=1)


def test_a_probe_sent_shortly_before_the_end_is_neither_lost_nor_answered() -> None:
    packets = Packets.match([0, 1, 2], [0, 2 * MS, 4 * MS], [0], [MS], end_ns=TMAX_NS + 3 * MS)
    assert packets.lost.tolist() == [False, True, False]
    found = echo.measure(packets, windows((0, 1), (0, 10 * MS)))
    assert found["probe.loss_ratio.during"].value == 0.5


def test_a_reply_after_tmax_is_a_loss_and_still_ends_the_silence() -> None:
    packets = Packets.match(
        [0, 1, 2], [0, 2 * MS, TMAX_NS + 9 * MS], [0, 1], [MS, TMAX_NS + 3 * MS], end_ns=3 * TMAX_NS
    )
    assert packets.lost.tolist() == [False, True, True]
    gap = network.blackout(packets, (MS, 2 * MS))
    assert gap is not None
    assert gap.end_ns == TMAX_NS + 3 * MS


@given(samples(), st.integers(0, 12_000 * MS))
def test_recovery_is_that_of_the_reference(sample: Sample, resume: int) -> None:
    packets = sample.packets()
    seen = recovery(packets, resume)
    probes = [(sent, arrived) for sent, arrived in zip(sample.sent, sample.arrived, strict=True) if sent >= resume]
    bad = [sent for sent, arrived in probes if arrived is None or arrived - sent > TMAX_NS]
    expected = None
    for start in [resume, *(sent + 1 for sent in bad)]:
        within = [(s, a) for s, a in probes if start <= s < start + 500 * MS]
        enough = within and sample.sent[-1] >= start + 500 * MS - 2 * round(packets.interval_ns)
        if enough and not any(start <= s < start + 500 * MS for s in bad):
            expected = max([start + 500 * MS, *(a for _, a in within if a is not None)])
            break
    assert seen == expected


@given(st.integers(-(10**12), 10**12), st.integers(-5 * 10**9, 5 * 10**9), st.integers(0, 200))
def test_wall_stamps_convert_across_a_step(offset: int, step: int, at: int) -> None:
    """A stamp that is read later than the step is long may be from before it or after it: nothing tells."""
    pairs = [(i * 100 * MS, i * 100 * MS + offset + (step if i >= 100 else 0)) for i in range(201)]
    mono = at * 100 * MS
    wall = mono + offset + (step if at >= 100 else 0)
    (seen,) = to_mono(WallClock(pairs), np.array([wall]), np.array([mono + MS])).tolist()
    assert seen in ({mono} if abs(step) > MS else {mono, mono - step, mono + step})
    assert WallClock(pairs).worst_step_ns() == abs(step)


def test_outages_are_all_gaps_over_five_times_the_p99_of_before() -> None:
    sent = [seq * INTERVAL for seq in range(3000)]
    arrived: list[int | None] = [at + 300_000 for at in sent]
    for begin, length in ((2000, 3), (2200, 8), (2500, 50)):
        arrived[begin : begin + length] = [None] * length
    packets = Sample(sent, arrived, sent[-1] + 2 * TMAX_NS).packets()
    gaps = network.outages(packets, windows((0, 3000 * MS), (3500 * MS, 6000 * MS)))
    assert gaps is not None
    assert [round(gap.gap_s * 1e3) for gap in gaps] == [18, 102]


def test_the_last_probe_s_spacing_is_the_usual_one() -> None:
    packets = Packets.match([0, 1, 2], [0, 2 * MS, 4 * MS], [0, 1], [MS, 3 * MS], end_ns=3 * TMAX_NS)
    assert network.lost_time_s(packets, (0, 10 * MS)) == pytest.approx(0.002)


def test_further_replies_to_what_was_answered_are_kept_by_time() -> None:
    found = Packets.match([1, 2, 3], [0, 10, 20], [1, 1, 2, 9, 9, 1], [5, 7, 12, 21, 22, 6], 100)
    assert found.repeated_ns.tolist() == [6, 7], "nobody asked what 9 answers"
    assert found.arrived_ns.tolist() == [5, 12, -1]
