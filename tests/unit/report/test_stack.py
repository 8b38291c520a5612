"""Stacked bars: where parts lie, and that one below zero is seen, named and taken off the total."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cloudtrial import MS, record
from faketrial import record as record_qemu

from migrascope.analysis.cells import summarise
from migrascope.analysis.run import result_of
from migrascope.analysis.summary import Summary
from migrascope.report.charts import bars
from migrascope.report.charts.stack import Look, Scale, drawn, laid
from migrascope.report.columns import widened
from migrascope.report.page import downtime_budget, step_durations
from migrascope.report.page.sections import quality
from migrascope.store.recording import Recording

SHOWN = ["scenario"]
LOOK = Look("ms", 0, {"a": "first", "b": "second", "c": "third"}, dict.fromkeys("abc", "tone"), fits=5)


def summary_with(recording: Recording, **values: float) -> Summary:
    """Of one trial, with these metrics in place of its own; `__` in a name is a dot."""
    result = result_of(recording)
    for name, value in values.items():
        key = name.replace("__", ".")
        result.metrics[key] = replace(result.metrics[key], value=value, reason=None)
    return summarise({}, recording.trial.plan, [result], None)


def edges(spec: dict[str, Any] | None, part: str) -> tuple[float, float]:
    assert spec is not None
    (row,) = [value for value in spec["data"]["values"] if value["part"] == part]
    return row["from"], row["until"]


def test_parts_above_zero_lie_one_after_another() -> None:
    assert [(bar.start, bar.end) for bar in laid({"a": 3.0, "b": 2.0})] == [(0, 3), (3, 5)]
    assert Scale.of([{"a": 3.0, "b": 2.0}], 1.0) == Scale(0, 5)
    assert drawn({"a": 3.0}, Scale(0, 4), LOOK)["zero"] is None


def test_parts_below_zero_lie_left_of_it_and_hide_no_other() -> None:
    placed = laid({"a": 3.0, "b": -2.0, "c": 4.0})
    assert [(bar.start, bar.end) for bar in placed] == [(0, 3), (-2, 0), (3, 7)]
    assert [(bar.start, bar.end) for bar in laid({"a": -1.0, "b": -2.0})] == [(-1, 0), (-3, -1)]


def test_a_part_below_zero_is_marked_named_and_taken_off() -> None:
    parts = {"a": 30.0, "b": -20.0, "c": 50.0}
    bar = drawn(parts, Scale.of([parts], 1.0), LOOK)
    assert [(box["left"], box["width"], box["below"]) for box in bar["boxes"]] == [
        (20, 30, False), (0, 20, True), (50, 50, False),
    ]  # fmt: skip
    assert bar["zero"] == 20
    assert bar["below"] == "second -20 ms"
    assert bar["total"] == "60 ms"
    assert bar["told"] == "first 30 ms, second -20 ms, third 50 ms"


def test_what_is_barely_below_zero_is_not_called_zero() -> None:
    parts = {"a": 30.0, "b": -0.04}
    assert drawn(parts, Scale.of([parts], 1.0), LOOK)["below"] == "second -0.04 ms"


def test_nothing_measured_has_a_scale_too() -> None:
    assert drawn({"a": 0.0}, Scale.of([], 1.1), LOOK)["boxes"] == []


def test_a_pause_shorter_than_reported_is_seen_in_the_budget(tmp_path: Path) -> None:
    wrong = {
        "budget__before_stop_s": 0.0,
        "budget__reported_downtime_s": 0.2,
        "budget__until_resume_s": -0.05,
        "budget__until_reply_s": 0.1,
    }
    summary = summary_with(record_qemu(tmp_path), **wrong)
    section = downtime_budget.section(summary, SHOWN)
    bar = section["rows"][0]["bar"]
    assert bar["total"] == "250 ms"
    assert bar["below"] == "rest until RESUME -50 ms"
    assert section["note"]
    assert edges(bars.budget(summary, SHOWN), "rest until RESUME") == (-50, 0)
    assert edges(bars.budget(summary, SHOWN), "RESUME until the first reply") == (200, 300)


def test_a_window_that_is_longer_is_told(tmp_path: Path) -> None:
    recording = record_qemu(tmp_path)
    assert widened(summary_with(recording)) is None
    words = widened(summary_with(recording, switchover_s=7.3))
    assert words is not None
    assert "7.30 s" in words
    row = next(row for row in quality(summary_with(recording, switchover_s=7.3), SHOWN)["rows"] if row["length"])
    assert (row["window"], row["length"]) == ("switchover", ", 7.30 s")


def test_a_step_below_zero_is_seen(tmp_path: Path) -> None:
    summary = summary_with(record(tmp_path), step_s__scheduling=-0.4)
    found = step_durations.steps(summary, SHOWN)
    assert found is not None
    ((_, bar),) = found["bars"]
    assert "scheduling -0.40 s" in bar["below"]
    total = sum(result.value or 0 for key, result in summary.trials[0].metrics.items() if key.startswith("step_s."))
    assert bar["total"] == f"{total:.2f} s"
    assert edges(bars.steps(summary, SHOWN), "2 scheduling")[1] <= 0


def test_a_reply_before_the_first_frame_is_seen(tmp_path: Path) -> None:
    reply_s = 0.02
    recording = record(tmp_path, late_ns=300 * MS)
    summary = summary_with(recording, budget__until_reply_s=reply_s)
    ((_, parts),) = step_durations.shares(summary, SHOWN)
    assert parts["late"] > 100
    assert parts["reply"] == pytest.approx(1e3 * reply_s - parts["late"])
    assert edges(bars.shares(summary, SHOWN), "the first reply")[0] < 0
