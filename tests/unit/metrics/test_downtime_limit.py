"""The downtime limit that was set at the switchover, as a recording tells it."""

import json
from pathlib import Path

import polars as pl
import pytest
from faketrial import record

from migrascope.metrics.migration import measure
from migrascope.metrics.packets import NS, Packets
from migrascope.metrics.trial import measure as whole
from migrascope.metrics.windows import Windows, end_of, windows_of
from migrascope.store.events import EventLog
from migrascope.store.recording import Recording


def seen(recording: Recording, steps: list[tuple[float, int]]) -> tuple[float | None, bool]:
    """The limit and whether it is a lower bound, where QEMU said these limits (ms) so many seconds before STOP."""
    windows: Windows = windows_of(recording, Packets.of(recording, end_of(recording)))
    stop = windows.stop
    assert stop is not None
    path = recording.folder / "qmp_status.parquet"
    rows = pl.read_parquet(path)
    first = rows.filter(pl.col("host") == recording.trial.source).row(0, named=True)
    said = [
        first | {
            "asked_ns": stop - round(before * NS) - 10, "answered_ns": stop - round(before * NS),
            "command": "query-migrate-parameters", "answer": json.dumps({"downtime-limit": limit}),
        }
        for before, limit in steps
    ]  # fmt: skip
    pl.concat([rows, pl.DataFrame(said, schema=rows.schema)]).write_parquet(path)
    found = measure(recording, windows)["set_downtime_limit_s"]
    return found.value, found.at_least


@pytest.mark.parametrize(
    ("steps", "limit_s", "at_least"),
    [
        ([(1.2, 30), (0.4, 150), (-0.3, 300)], 0.15, False),
        ([(1.2, 30)], 0.03, True),
        ([(-0.3, 300)], 0.3, False),
    ],
)
def test_the_last_one_before_stop_counts(
    steps: list[tuple[float, int]], limit_s: float, at_least: bool, tmp_path: Path
) -> None:
    value, lower_bound = seen(record(tmp_path), steps)
    assert value == pytest.approx(limit_s)
    assert lower_bound == at_least


def test_where_nobody_asked_it_is_what_was_read_back_when_it_was_set(tmp_path: Path) -> None:
    assert whole(record(tmp_path))["set_downtime_limit_s"].value == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("changes", "limit_s", "at_least"),
    [
        ([(0.9, 0.8, 0.1), (0.3, 0.2, 0.2)], 0.2, False),
        ([(0.3, 0.2, 0.2), (0.1, -0.1, 0.4)], 0.2, True),
        ([(0.1, -0.1, 0.4)], 0.3, True),
        ([(-0.1, -0.2, 0.4)], 0.3, False),
    ],
)
def test_what_changes_it_while_it_runs_counts_as_far_as_it_was_read_back_before_stop(
    changes: list[tuple[float, float, float]], limit_s: float, at_least: bool, tmp_path: Path
) -> None:
    """Each change: asked for and answered so many seconds before STOP, and the limit that was read back. One that was
    under way then may have been in force."""
    recording = record(tmp_path)
    windows: Windows = windows_of(recording, Packets.of(recording, end_of(recording)))
    assert windows.stop is not None
    log = EventLog(recording.folder / "events.ndjson", "engine")
    for asked, answered, read_s in changes:
        stamps = [windows.stop - round(before * NS) for before in (asked, answered)]
        log.add_at("controller", stamps[1], action="limit", read_s=read_s, asked_ns=stamps[0])
    found = measure(Recording(recording.folder), windows)["set_downtime_limit_s"]
    assert found.value == pytest.approx(limit_s)
    assert found.at_least == at_least
