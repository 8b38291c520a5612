"""The steady writer's rate: by its own count and the guest's clock, and a flag where it fell short before."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from faketrial import FACTORS, record

from migrascope.metrics.trial import Measurement, examine
from migrascope.metrics.windows import SECOND, windows_of
from migrascope.store.recording import Recording, polars_schema

WANTED = 40e6


def seen(folder: Path, rate: float, during: float | None = None) -> Measurement:
    """A trial whose writer says four times a second that it writes at this rate, and at another since the request."""
    recording = record(folder, factors=replace(FACTORS, write_Bps=WANTED, write_set_bytes=2**27, write_pattern="hot"))
    windows = windows_of(recording)
    assert windows.before is not None
    assert windows.during is not None
    rows, wrote = [], 0.0
    for asked in range(windows.before[0], windows.during[1], SECOND // 4):
        guest_s = asked / SECOND
        row = {"asked_ns": asked, "answered_ns": asked + 1000, "worker": 1, "work": "kind=memory",
               "state": "running", "bytes": round(wrote), "operations": 0, "guest_s": guest_s, "cpu_s": 0.0,
               "reason": "", "source": "stress", "host": "client", "instance": "i", "migration": "m"}  # fmt: skip
        rows.append(row)
        wrote += (rate if asked < windows.before[1] or during is None else during) / 4
    pl.DataFrame(rows, schema=polars_schema("stress")).write_parquet(recording.folder / "stress.parquet")
    return examine(Recording(recording.folder))


def flags(found: Measurement) -> list[str]:
    return [words for words in found.warnings if "writer" in words]


def test_a_writer_that_reaches_its_rate_is_not_flagged(tmp_path: Path) -> None:
    found = seen(tmp_path, 0.96 * WANTED)
    assert found.metrics["writer_Bps.before"].value == pytest.approx(0.96 * WANTED, rel=0.001)
    assert flags(found) == []


def test_a_writer_that_falls_short_before_is_flagged(tmp_path: Path) -> None:
    assert flags(seen(tmp_path, 0.9 * WANTED)) == ["the writer reached 36 of 40 MB/s before the migration"]


def test_what_a_migration_takes_is_a_figure_and_no_fault(tmp_path: Path) -> None:
    found = seen(tmp_path, WANTED, during=WANTED / 4)
    assert found.metrics["writer_Bps.during"].value == pytest.approx(WANTED / 4, rel=0.2)
    assert flags(found) == []


def test_a_writer_that_says_nothing_is_not_known_to_have_reached_it(tmp_path: Path) -> None:
    found = examine(record(tmp_path, factors=replace(FACTORS, write_Bps=WANTED), drop=("stress",)))
    assert "is not known" in flags(found)[0]


def test_the_cpu_of_both_sides_is_theirs(tmp_path: Path) -> None:
    found = examine(record(tmp_path))
    time = found.metrics["migration_time_s"].value
    assert time is not None
    used = [found.metrics[f"hypervisor_cpu_s.{side}"].value for side in ("source", "destination")]
    assert used[0] is not None
    assert used[1] is not None
    assert used[1] == pytest.approx(0.75 * used[0], rel=0.01)
