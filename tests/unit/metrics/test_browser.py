"""How long a browser's video stood still, what it held and whether it starved, from scripted recordings."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from faketrial import FACTORS, record
from hypothesis import given
from hypothesis import strategies as st

from migrascope.metrics.browser import UNITS, stills
from migrascope.metrics.trial import Measurement, examine
from migrascope.metrics.windows import windows_of
from migrascope.model.plan import Plan
from migrascope.store.recording import Recording, polars_schema

MS = 10**6
S = 1000 * MS
PLAN = Plan.model_validate({"blocks": 1, "windows": {"before": "3s"}, "visitors": {"browser": True}})
Row = tuple[Any, ...]


def frame(table: str, rows: list[Row]) -> pl.DataFrame:
    whole = [(*row, "browser", "client", "i", "m") for row in rows]
    return pl.DataFrame(whole, schema=polars_schema(table), orient="row")


def events(*told: tuple[int, str] | tuple[int, str, str]) -> pl.DataFrame:
    return frame("browser_event", [(at, event, 0.0, 4, note[0] if note else "") for at, event, *note in told])


def shown(
    folder: Path,
    *told: tuple[float, str] | tuple[float, str, str],
    dropped: float = 0.0,
    late_ms: float = 0.0,
    pace: float = 1.0,
) -> Measurement:
    """A trial whose browser told these events, s after the request, and a buffer that runs dry 1 s after it. Where its
    video plays it does so at this pace."""
    recording = record(folder, PLAN, FACTORS)
    windows = windows_of(recording)
    assert windows.request is not None
    assert windows.before is not None
    begun = windows.before[0] - S
    rows: list[Row] = [(begun, "playing", 0.0, 4, "")]
    for after, event, *note in told:
        rows.append((windows.request + round(after * S), event, 0.0, 4, note[0] if note else ""))
    frame("browser_event", rows).write_parquet(recording.folder / "browser_event.parquet")
    samples: list[Row] = []
    still = stills(events(*((at, event, note) for at, event, _, _, note in rows)))
    media_s = 0.0
    for seq, now in enumerate(range(begun, windows.end, 50 * MS)):
        if not any(item.touches((now - 50 * MS, now)) for item in still):
            media_s += 0.05 * pace
        ahead = max(0.0, min(1.0, 1.0 - (now - windows.request) / S))
        samples.append((now, media_s, 4, ahead, 2 * seq, round(2 * seq * dropped), late_ms))
    frame("browser", samples).write_parquet(recording.folder / "browser.parquet")
    cpu: list[Row] = [(now, "chromium", 0.3 * (now - begun) / S, 0) for now in range(begun, windows.end, 250 * MS)]
    both = pl.concat([recording.table("process_cpu"), frame("process_cpu", cpu)])
    both.write_parquet(recording.folder / "process_cpu.parquet")
    return examine(Recording(recording.folder))


def test_a_stall_is_from_waiting_to_playing(tmp_path: Path) -> None:
    seen = shown(tmp_path, (1.0, "waiting"), (1.1, "stalled"), (1.4, "playing"))
    found = seen.metrics
    assert found["browser.stall_s"].value == pytest.approx(0.4)
    assert found["browser.stalls"].value == 1
    assert not found["browser.stall_s"].at_least
    assert found["browser.buffer_s"].value == pytest.approx(1.0)
    assert found["browser.least_buffer_s"].value == 0
    assert found["browser.cpu_ratio"].value == pytest.approx(0.3)
    assert found["browser.dropped_ratio"].value == 0
    assert not [warning for warning in seen.warnings if "browser" in warning]


def test_one_that_never_goes_on_is_a_lower_bound(tmp_path: Path) -> None:
    found = shown(tmp_path, (1.0, "waiting")).metrics
    whole = shown(tmp_path / "whole", (1.0, "waiting"), (1.3, "playing")).metrics
    assert found["browser.stall_s"].at_least
    assert (found["browser.stall_s"].value or 0) > (whole["browser.stall_s"].value or 0)


def test_a_player_that_gives_up_is_one_too_and_warned_of(tmp_path: Path) -> None:
    seen = shown(tmp_path, (1.0, "waiting"), (1.4, "error", "DEMUXER_ERROR"))
    assert seen.metrics["browser.stall_s"].at_least
    assert any("gave up (DEMUXER_ERROR)" in warning for warning in seen.warnings)


def test_a_video_that_never_stood_still(tmp_path: Path) -> None:
    found = shown(tmp_path).metrics
    assert (found["browser.stall_s"].value, found["browser.stalls"].value) == (0, 0)


def test_what_stood_still_before_the_request_alone_is_not_the_migration_s(tmp_path: Path) -> None:
    found = shown(tmp_path, (-2.0, "waiting"), (-1.5, "playing")).metrics
    assert found["browser.stall_s"].value == 0


def test_a_film_that_begins_again_meanwhile_says_nothing(tmp_path: Path) -> None:
    found = shown(tmp_path, (0.5, "ended"), (0.6, "waiting"), (0.7, "playing"), (1.0, "waiting"), (1.2, "playing"))
    assert found.metrics["browser.stall_s"].value is None
    assert "began again" in (found.metrics["browser.stalls"].reason or "")


@pytest.mark.parametrize(
    ("dropped", "late_ms", "pace", "starved"),
    [(0.05, 20.0, 0.99, False), (0.3, 0.0, 1.0, True), (0.0, 300.0, 1.0, True), (0.0, 0.0, 0.9, True)],
)
def test_a_browser_that_starved_is_flagged(
    tmp_path: Path, dropped: float, late_ms: float, pace: float, starved: bool
) -> None:
    seen = shown(tmp_path, (1.0, "waiting"), (1.4, "playing"), dropped=dropped, late_ms=late_ms, pace=pace)
    assert seen.metrics["browser.pace_ratio"].value == pytest.approx(pace)
    assert seen.metrics["browser.dropped_ratio"].value == pytest.approx(dropped, abs=0.02)
    assert seen.metrics["browser.late_p99_s"].value == pytest.approx(late_ms / 1e3)
    assert any("the browser starved" in warning for warning in seen.warnings) == starved


def test_without_a_browser_the_plan_is_the_reason(tmp_path: Path) -> None:
    found = examine(record(tmp_path)).metrics
    assert {found[key].reason for key in UNITS} == {"the plan has no browser (visitors.browser)"}


spans = st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), max_size=8)


@given(spans)
def test_stills_are_what_counting_every_millisecond_finds(told: list[tuple[int, int]]) -> None:
    """told: ms of playing and then of standing still, in turns; the reference walks through all of them."""
    rows: list[tuple[int, str]] = [(0, "playing")]
    still = [False] * sum(played + stood for played, stood in told)
    at = 0
    for played, stood in told:
        rows += [((at + played) * MS, "waiting"), ((at + played + stood) * MS, "playing")]
        still[at + played : at + played + stood] = [True] * stood
        at += played + stood
    found = stills(events(*rows))
    assert sum((item.until_ns or 0) - item.since_ns for item in found) == sum(still) * MS
    assert len(found) == len(told)


def test_waiting_before_it_ever_played_is_no_stall() -> None:
    assert stills(events((0, "waiting"), (5, "playing"))) == []
