"""Series on bins keep their extremes, and a trial's time axis shows what its script says."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from faketrial import record
from hypothesis import given
from hypothesis import strategies as st

from migrascope.metrics.packets import Packets
from migrascope.metrics.windows import end_of, windows_of
from migrascope.model.schedule import Factors
from migrascope.model.tables import CONSTANTS, TABLES
from migrascope.report.charts.bins import bin_edges, cover, envelope, ratio
from migrascope.report.charts.timeline import MOST_BINS, Timeline, timeline

numbers = st.floats(-1e6, 1e6)
points = st.lists(st.tuples(st.floats(0, 10, exclude_max=True), numbers), max_size=60)


@given(points, st.floats(0.01, 3))
def test_envelope_keeps_every_extreme(values: list[tuple[float, float]], step_s: float) -> None:
    at = np.array([x for x, _ in values])
    level = np.array([y for _, y in values])
    edges = bin_edges(0, 10, step_s)
    low, mid, high = envelope(at, level, edges)
    for start, end, least, middle, most in zip(edges[:-1], edges[1:], low, mid, high, strict=True):
        inside = sorted(level[(at >= start) & (at < end)])
        if not inside:
            assert math.isnan(least)
            assert math.isnan(middle)
            assert math.isnan(most)
        else:
            assert (least, most) == (inside[0], inside[-1])
            assert middle == inside[(len(inside) - 1) // 2]
    if values:
        assert (np.nanmin(low), np.nanmax(high)) == (level.min(), level.max())


@given(st.lists(numbers, min_size=1, max_size=80), st.integers(1, 9), st.sampled_from([0.02, 0.1, 0.25, 1.0]))
def test_cover_keeps_every_extreme(values: list[float], tenths: int, step_s: float) -> None:
    base = bin_edges(0, len(values) * 0.1 * tenths, 0.1 * tenths)
    low, high = cover(base, np.array(values), bin_edges(0, base[-1], step_s))
    assert (np.nanmin(low), np.nanmax(high)) == (min(values), max(values))


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.booleans()), max_size=50))
def test_ratio_counts_hits(stamps: list[tuple[float, bool]]) -> None:
    at, hit = np.array([x for x, _ in stamps]), np.array([x for _, x in stamps], dtype=bool)
    share = ratio(at, hit, bin_edges(0, 1, 0.25))
    for number, value in enumerate(share):
        inside = [is_hit for x, is_hit in stamps if number / 4 <= x < (number + 1) / 4]
        assert math.isnan(value) if not inside else value == sum(inside) / len(inside)


def _of(folder: Path, factors: Factors, **changes: Any) -> Timeline:
    recording = record(folder, factors=factors, **changes)
    packets = Packets.of(recording, end_of(recording))
    return timeline(recording, windows_of(recording, packets), packets, 0.5)


RELAY = Factors("relay", "pre-copy", 2**30, 1e9, 0.3, "warm")


def test_axis_of_a_trial(tmp_path: Path) -> None:
    seen = _of(tmp_path, RELAY)
    marks = dict(seen.marks)
    assert marks["request"] == 0
    assert marks["RESUME"] - marks["STOP"] == pytest.approx(0.2, abs=1e-6)
    assert [name for name, _, _ in seen.bands] == ["before", "during", "switchover", "after", "VM paused"]
    assert seen.switchover is not None
    zoom = seen.switchover
    stop = round((marks["STOP"] - zoom.start_s) / zoom.step_s)
    assert zoom.columns["loss"][stop + 2] == 1
    assert zoom.columns["loss"][stop - 3] == 0
    assert min(level for level in seen.whole.columns["buffer"] if level is not None) == 0
    assert seen.whole.columns["rounds"][-1] == 4
    link = [rate for rate in seen.whole.columns["link"] if rate is not None]
    assert 5e8 < max(link) < 1.1e9
    lengths = {len(values) for values in seen.whole.columns.values() if values}
    assert len(lengths) == 1
    assert lengths.pop() <= MOST_BINS


def test_axis_of_a_long_trial_stays_short_and_keeps_the_loss(tmp_path: Path) -> None:
    seen = _of(tmp_path, RELAY, precopy_s=55.0)
    assert seen.whole.step_s > 0.1
    assert len(seen.whole.columns["loss"]) <= MOST_BINS
    assert max(loss for loss in seen.whole.columns["loss"] if loss is not None) == 1


def test_axis_of_a_page_without_video_has_no_buffer(tmp_path: Path) -> None:
    seen = _of(tmp_path, Factors("none", "pre-copy", 2**30, 1e9, 0.3, "warm"))
    assert seen.whole.columns["buffer"] == []


def test_axis_of_a_trial_that_failed(tmp_path: Path) -> None:
    seen = _of(tmp_path, RELAY, failure="destination-died")
    assert "failed" in dict(seen.marks)
    assert "STOP" not in dict(seen.marks)


def test_axis_of_a_trial_without_probes(tmp_path: Path) -> None:
    recording = record(tmp_path, factors=RELAY, drop=("echo_sent", "echo_reply", "visit", "arrival", "segment"))
    packets = Packets.of(recording, end_of(recording))
    seen = timeline(recording, windows_of(recording, packets), packets, 0.5)
    empty = {name for name, values in seen.whole.columns.items() if not values}
    assert empty == {"delay_low", "delay_mid", "delay_high", "loss", "goodput_low", "goodput_high", "buffer"}


def test_axis_of_a_trial_that_never_came_to_its_request(tmp_path: Path) -> None:
    recording = record(tmp_path, factors=RELAY, drop=("echo_sent", "echo_reply"))
    recording.events[:] = recording.events[:2]
    packets = Packets.of(recording, end_of(recording))
    seen = timeline(recording, windows_of(recording, packets), packets, 0.5)
    assert (seen.bands, seen.marks, seen.switchover) == ([], [], None)


def test_a_disturbance_is_shaded_and_named(tmp_path: Path) -> None:
    recording = record(tmp_path, factors=replace(RELAY, disturbance="cut"))
    request = next(event.mono_ns for event in recording.events if event.name == "migrate_request")
    at = [request + round(seconds * 1e9) for seconds in (0.5, 0.51, 0.52, 1.5)]
    rows = [("cut", "link-down", "migration", "first-copy", *at, ""), ("gone", "abort", "", "setup", *[0] * 4, "")]
    columns = [*TABLES["disturbance"].columns]
    table = pl.DataFrame([dict(zip(columns, row, strict=True)) for row in rows])
    table.with_columns(pl.lit("").alias(name) for name in CONSTANTS).write_parquet(
        recording.folder / "disturbance.parquet"
    )
    packets = Packets.of(recording, end_of(recording))
    seen = timeline(recording, windows_of(recording, packets), packets, 0.5)
    name, start, end = seen.bands[0]
    assert name == "disturbed: cut"
    assert (start, end) == pytest.approx((0.52, 1.5))
    assert dict(seen.marks)["disturbed: cut"] == pytest.approx(0.52)
    assert not [mark for mark, _ in seen.marks if "gone" in mark]
    assert not [band for band, _, _ in seen.bands if "gone" in band]
