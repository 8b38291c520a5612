"""A migration that copies its volume: the disk's part of its time and of its data."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from faketrial import SCRIPT, record

from migrascope.metrics.trial import examine, measure
from migrascope.model.measured import Measured
from migrascope.store.recording import Recording, polars_schema

DISK, PACKETS, COPY_S = 120_000_000, 2000, 0.75
KEYS = ("storage_copy_s", "disk_data_bytes", "reported_disk_bytes", "memory_data_bytes")


def copied(folder: Path, *, ready: bool = True, error: str = "", counted: bool = True) -> Recording:
    """The fake trial as if a part of what its link carried had been its volume."""
    plain = record(folder)
    recording = Recording(
        plain.folder, trial=replace(plain.trial, factors=replace(plain.trial.factors, storage="copied"))
    )
    windows = examine(plain).windows
    assert windows.request is not None
    assert windows.during is not None
    events = plain.table("qmp_event")
    first = events.filter(pl.col("host") == "host-a").sort("event_wall_ns").row(0, named=True)
    until = first["event_wall_ns"] + round(COPY_S * 1e9)
    told: list[tuple[str, int, dict[str, object]]] = [
        ("JOB_STATUS_CHANGE", first["event_wall_ns"], {"id": "migrascope-clock-1", "status": "running"}),
        ("JOB_STATUS_CHANGE", first["event_wall_ns"] + 1000, {"id": "storage-copy", "status": "running"}),
    ]
    told += [("BLOCK_JOB_READY", until + 1000, {"device": "storage-copy", "offset": DISK})] if ready else []
    told += [("BLOCK_JOB_COMPLETED", until + 2000, {"offset": DISK} | ({"error": error} if error else {}))]
    rows = [
        first | {"event": name, "event_wall_ns": wall, "recv_ns": first["recv_ns"], "data": json.dumps(data)}
        for name, wall, data in told
    ]
    pl.concat([events, pl.DataFrame(rows, schema=events.schema)]).write_parquet(plain.folder / "qmp_event.parquet")
    constants = {name: first[name] for name in polars_schema("flow") if name in first}
    samples = [(windows.request - 1, 0, 0), (windows.during[1] + 1, DISK + 66 * PACKETS, PACKETS)]
    flow = [
        {"mono_ns": at, "to_bytes": size, "to_packets": count, "from_bytes": 66 * count, "from_packets": count}
        | constants
        for at, size, count in (samples if counted else [])
    ]
    pl.DataFrame(flow, schema=polars_schema("flow")).write_parquet(plain.folder / "flow.parquet")
    return recording


def found(recording: Recording) -> dict[str, Measured]:
    return {key: measured for key, measured in measure(recording).items() if key in KEYS}


def test_disk_and_memory_are_told_apart(tmp_path: Path) -> None:
    seen = found(copied(tmp_path))
    assert seen["storage_copy_s"].value == pytest.approx(COPY_S, abs=1e-6)
    assert seen["disk_data_bytes"].value == DISK
    assert seen["reported_disk_bytes"].value == DISK
    assert seen["memory_data_bytes"].value == SCRIPT.data_bytes - DISK


def test_of_a_shared_volume_nothing_is_copied(recording: Recording) -> None:
    seen = found(recording)
    assert seen["memory_data_bytes"].value == SCRIPT.data_bytes
    for key in KEYS[:3]:
        assert seen[key].reason == "no volume was copied: both hosts reach the same"


def test_a_lab_that_copies_none_says_nothing_of_it(tmp_path: Path) -> None:
    plain = record(tmp_path)
    plan = plain.trial.plan | {"lab": plain.trial.plan["lab"] | {"kind": "openstack"}}
    seen = found(Recording(plain.folder, trial=replace(plain.trial, plan=plan)))
    assert {measured.reason for measured in seen.values()} == {"this lab does not say where the volume is"}


def test_a_copy_that_failed_has_no_length(tmp_path: Path) -> None:
    seen = found(copied(tmp_path, ready=False, error="No space left on device"))
    for key in ("storage_copy_s", "memory_data_bytes"):
        assert seen[key].reason == "the copy of the volume did not come to its end"
    assert seen["reported_disk_bytes"].value is None
    assert seen["disk_data_bytes"].value == DISK


def test_a_kernel_that_counts_no_flow_leaves_both_parts_unknown(tmp_path: Path) -> None:
    seen = found(copied(tmp_path, counted=False))
    assert seen["disk_data_bytes"].reason == "this kernel counts no single flow of a bridge (nftables)"
    assert seen["memory_data_bytes"].reason == seen["disk_data_bytes"].reason
