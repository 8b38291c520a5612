"""Figures against slow references that were written from their pages in docs/metrics, good and bad recordings alike."""

from itertools import pairwise
from statistics import median

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from players import viewer_of
from probeseries import MS, Sample, entries, samples, spans, windows

from migrascope.metrics import echo, network
from migrascope.metrics.packets import TMAX_NS
from migrascope.metrics.player import Lateness

S = 10**9
Gap = tuple[int, int, bool]
"""A silence: its begin and end, and whether a reply ended it."""


def percentile(values: list[float], rank: float) -> float:
    """By linear interpolation between the two nearest ranks."""
    ordered = sorted(values)
    place = rank / 100 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    if place == low:
        return ordered[low]
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


class Reference:
    """Probes as the pages speak of them."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.probes = list(zip(sample.sent, sample.arrived, strict=True))
        spacings = [b - a for a, b in pairwise(sample.sent)]
        self.interval = median(spacings) if spacings else 0.0
        trips = [back - sent for sent, back in self.probes if back is not None and back - sent <= TMAX_NS]
        self.quiet = median(trips) if trips else 0.0

    def gaps(self) -> list[Gap]:
        arrivals = sorted(back for _, back in self.probes if back is not None)
        found = [(a, b, True) for a, b in pairwise(arrivals)]
        if self.probes and arrivals:
            last = min(self.sample.sent[-1] + round(self.quiet), self.sample.end)
            if last > arrivals[-1]:
                found.append((arrivals[-1], last, False))
        return found

    def blackout(self, stop: int | None, resume: int | None, during: tuple[int, int]) -> Gap | None:
        """The longest silence that overlaps the time from STOP to RESUME, or begins within a quiet round trip after it,
        or that starts in during and has no end."""
        found = []
        for begin, end, ended in self.gaps():
            starts = during[0] <= begin < during[1]
            if stop is None:
                chosen = starts
            else:
                until = resume if resume is not None else stop + 4 * S
                reached = max(until, stop + 1) + self.quiet
                chosen = (end > stop and begin < reached) or (starts and not ended)
            if chosen:
                found.append((begin, end, ended))
        return max(found, key=lambda gap: gap[1] - gap[0], default=None)

    def late(self, gap: Gap) -> bool:
        return any(
            gap[1] <= back < gap[1] + self.interval and back - sent >= self.quiet + self.interval
            for sent, back in self.probes
            if back is not None
        )


ends = st.one_of(st.none(), st.integers(0, 9_000 * MS))


@settings(max_examples=300, deadline=None)
@given(samples(), spans, ends, ends)
def test_the_blackout_is_that_of_its_page(
    sample: Sample, during: tuple[int, int], stop: int | None, resume: int | None
) -> None:
    if stop is None or (resume is not None and resume < stop):
        resume = None
    reference = Reference(sample)
    expected = reference.blackout(stop, resume, during)
    seen = network.measure(sample.packets(), windows((0, during[0]), during, stop, resume))
    low, value, high = (seen[f"network_blackout_{name}s"] for name in ("low_", "", "high_"))
    if expected is None:
        assert value.value is low.value is high.value is None
        return
    longest = [gap for gap in reference.gaps() if gap[1] - gap[0] == expected[1] - expected[0]]
    assume(len(longest) == 1)  # of two that are as long either may be meant
    begin, end, ended = expected
    late = reference.late(expected)
    if late:
        silent = end - begin
    else:
        answered = sorted(back for _, back in reference.probes if back is not None)
        first = answered.index(end) if ended else None
        by_arrival = sorted((back, at) for at, (_, back) in enumerate(reference.probes) if back is not None)
        heard = reference.probes[by_arrival[first][1]][0] + round(reference.quiet) if first is not None else end
        silent = min(end, heard) - begin
    share = 0.5 if late else 1.0
    assert value.value == pytest.approx(max(0.0, silent - share * reference.interval) / S, abs=1e-9)
    assert low.value == pytest.approx(max(0.0, silent - 2 * reference.interval) / S, abs=1e-9)
    assert high.value == pytest.approx((end - begin) / S, abs=1e-9)
    assert {value.at_least, low.at_least, high.at_least} == {not ended}


@settings(max_examples=200, deadline=None)
@given(samples(), spans, spans)
def test_the_outage_is_that_of_its_page(sample: Sample, before: tuple[int, int], during: tuple[int, int]) -> None:
    gaps = Reference(sample).gaps()
    usual = [float(end - begin) for begin, end, _ in gaps if before[0] <= begin < before[1]]
    seen = network.measure(sample.packets(), windows(before, during))["network_outage_total_s"]
    if not usual or not any(during[0] <= sent < during[1] for sent in sample.sent):
        assert seen.value is None or usual
        return
    limit = 5 * percentile(usual, 99)
    counted = [gap for gap in gaps if during[0] <= gap[0] < during[1] and gap[1] - gap[0] > limit]
    assert seen.value == pytest.approx(sum(end - begin for begin, end, _ in counted) / S)
    assert seen.samples == len(counted)
    assert seen.at_least == any(not ended for _, _, ended in counted)


@settings(max_examples=200, deadline=None)
@given(samples(), spans, st.sampled_from([("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("max", 100.0)]))
def test_percentiles_with_lost_probes_are_those_of_their_page(
    sample: Sample, span: tuple[int, int], of: tuple[str, float]
) -> None:
    """A lost probe ranks as infinite: what falls on one, or between it and another, is at least Tmax."""
    answered: list[float] = []
    lost = 0
    for sent, back in zip(sample.sent, sample.arrived, strict=True):
        if span[0] <= sent < span[1]:
            if back is not None and back - sent <= TMAX_NS:
                answered.append(float(back - sent))
            elif sent + TMAX_NS <= sample.end:
                lost += 1
    anything = any(back is not None and back - sent <= TMAX_NS for sent, back in
                   zip(sample.sent, sample.arrived, strict=True))  # fmt: skip
    lost = lost if anything else 0
    name, rank = of
    seen = echo.measure(sample.packets(), windows((0, 1), span))[f"probe.rtt_s.during.{name}"]
    n = len(answered) + lost
    if not n:
        assert seen.value is None
        return
    place = rank / 100 * (n - 1)
    if place > len(answered) - 1:
        assert (seen.value, seen.at_least) == (3.0, True)
    else:
        whole = percentile([*answered, *([float("inf")] * lost)], rank) if place != int(place) else None
        exact = sorted(answered)[int(place)] if whole is None else whole
        assert seen.value == pytest.approx(exact / S)
        assert not seen.at_least


def _segment(kind: int, wait: int) -> tuple[float, int | None, float]:
    late = None if kind & 2 else wait * 6 * S // 0xFFFFFFFF
    return 2.0 if kind & 1 else 0.5, late, 0.0 if kind % 3 else 1.5


segments = entries("<BI", 12, 30).map(lambda drawn: [_segment(*entry) for entry in drawn])


@settings(max_examples=200, deadline=None)
@given(segments, st.integers(6, 10), st.integers(1, 12))
def test_the_stall_is_that_of_its_page(
    film: list[tuple[float, int | None, float]], asked_before: int, length_s: int
) -> None:
    """Each stretch by its length, how late it came (None: never), and how much of the film was skipped before it."""
    rows, arrivals, plays, place, played = [], [], [], 0.0, 0.0
    for seq, (duration, wait, skipped) in enumerate(film):
        place += skipped
        asked = round(played * S)
        back = asked + (20 * MS if seq < asked_before else 20 * MS + (wait or 0))
        came = seq < asked_before or wait is not None
        rows.append((seq, place, duration, asked, back if came else 0, 1000, 200, "" if came else "reset"))
        if came:
            arrivals.append((back, seq, 1000))
        plays.append((played, back if came else None))
        place, played = place + duration, played + duration
    begin = round(plays[asked_before][0] * S)
    span = (begin, begin + length_s * S)
    seen = viewer_of(rows, arrivals).lateness_s((0, begin), span)
    reference = median([back / S - at for at, back in plays[:asked_before] if back is not None])
    late: list[tuple[float, bool]] = []
    for number, (at, here) in enumerate(plays):
        due = at + reference
        following = [later for _, later in plays[number:] if later is not None]
        until = min(following) / S if here is None and following else here / S if here is not None else None
        if due * S < span[1] and (until is None or max(due, until) * S >= span[0]):
            last = max(span[1] / S, max(later / S for _, later in plays if later is not None))
            late.append(((until if until is not None else last) - due, until is not None))
    unasked = span[1] / S - reference - played
    if unasked > film[-1][0]:
        late.append((unasked, False))
    if not late:
        assert isinstance(seen, str)
        return
    assert isinstance(seen, Lateness)
    worst = max(value for value, _ in late)
    assert seen.worst_s == pytest.approx(worst, abs=1e-6)
    for buffer_s in (0.0, 0.5, 2.0):
        assert seen.stall_s(buffer_s) == pytest.approx(max(0.0, worst - buffer_s), abs=1e-6)


def test_the_reference_knows_a_recording_by_heart() -> None:
    """Ten probes 2 ms apart, round trips of 1 ms; the fifth to the seventh are lost: 6 ms, and a bracket of 4 to 8."""
    sent = [at * 2 * MS for at in range(10)]
    arrived: list[int | None] = [None if 4 <= at <= 6 else at * 2 * MS + MS for at in range(10)]
    sample = Sample(sent, arrived, 10 * S)
    assert Reference(sample).blackout(7 * MS, 15 * MS, (0, S)) == (7 * MS, 15 * MS, True)
    seen = network.measure(sample.packets(), windows((0, 2 * MS), (2 * MS, S), 8 * MS, 12 * MS))
    values = [seen[f"network_blackout_{name}s"].value for name in ("low_", "", "high_")]
    assert values == pytest.approx([0.004, 0.006, 0.008])
