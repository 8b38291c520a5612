"""libvirt's phases by its log, and the waits of a handover, on a scripted trial whose truths are known."""

import asyncio
import json
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

import polars as pl
import pytest
from faketrial import record
from recorded import Running, program, rows

from migrascope.metrics.phases import PHASES
from migrascope.metrics.trial import measure
from migrascope.metrics.windows import windows_of
from migrascope.probe import libvirt_log
from migrascope.store.recording import Recording, polars_schema

MS = 10**6
CALL = 4242
LASTS = {"connect": 20, "begin": 10, "prepare": 300, "perform": 1_400, "finish": 130, "confirm": 60}
"""The scripted phases in ms. The VM stops 1500 ms after the request, and runs again 200 ms later."""
SAID = (
    ("qemuDomainObjSetJobPhase", "Setting 'migration out' phase to 'begin3'"),
    ("qemuMigrationSrcPerformPeer2Peer3", "Prepare3 0x7fa538005a20"),
    ("qemuMigrationSrcPerformPeer2Peer3", "Perform3 0x7fa530002670 uri=tcp://10.0.3.12:49152"),
    ("qemuMigrationSrcPerformPeer2Peer3", "Finish3 0x7fa538005a20 ret=0"),
    ("qemuMigrationSrcPerformPeer2Peer3", "Confirm3 0x7fa530002670 cancelled=0 vm=0x7fa530005330"),
    ("qemuMigrationSrcRestoreDomainState", "driver=0x5607a57dcb50, vm=0x7fa530005330, state=shutoff"),
)


def logged(recording: Recording, said: tuple[tuple[str, str], ...] = SAID) -> Recording:
    """The recording with the source's log, and a line of another call between each two."""
    request = windows_of(recording).request
    assert request is not None
    begun = request + recording.wall_clock.offset_ns()
    found = []
    for (function, message), at in zip(said, accumulate(LASTS.values()), strict=False):
        wall = (begun + at * MS) // MS * MS
        found.append((wall, CALL, function, message))
        found.append((wall, CALL + 1, SAID[-1][0], "of another call"))
    source = {"source": "libvirt-log-host-a", "host": "host-a", "instance": "vm-1", "migration": "m-1"}
    table = [dict(zip(("wall_ns", "thread", "function", "message"), row, strict=True)) | source for row in found]
    pl.DataFrame(table, schema=polars_schema("libvirt_log")).write_parquet(recording.folder / "libvirt_log.parquet")
    return Recording(recording.folder)


def test_each_phase_lasts_as_long_as_the_log_says_and_they_add_up(tmp_path: Path) -> None:
    found = measure(logged(record(tmp_path)))
    for name, lasts in LASTS.items():
        phase = found[f"phase_s.{name}"]
        assert phase.value is not None, phase.reason
        assert phase.bound is not None
        assert abs(phase.value - lasts / 1e3) <= phase.bound + 1e-9, name
        assert phase.bound <= 0.001 + 1e-9
    assert sum(found[f"phase_s.{name}"].value or 0 for name in PHASES) == pytest.approx(1.92, abs=0.001)


def test_what_of_a_phase_lies_within_the_pause_adds_up_to_it(tmp_path: Path) -> None:
    found = measure(logged(record(tmp_path)))
    parts = {name: found[f"phase_pause_s.{name}"].value for name in PHASES}
    assert parts["begin"] == parts["prepare"] == 0
    assert (parts["perform"] or 0) > 0.1
    assert sum(part or 0 for part in parts.values()) == pytest.approx(found["vm_pause_s"].value, abs=0.002)
    within = [found[f"phase_blackout_s.{name}"].value or 0 for name in PHASES]
    assert sum(within) <= (found["network_blackout_s"].value or 0) + 0.001


def test_a_destination_that_takes_nothing_ends_the_phase_prepare(tmp_path: Path) -> None:
    found = measure(logged(record(tmp_path), (*SAID[:2], SAID[-1])))
    assert found["phase_s.prepare"].value == pytest.approx(LASTS["prepare"] / 1e3, abs=0.001)
    assert found["phase_s.perform"].value is None
    assert found["phase_s.perform"].reason == "libvirt's log tells nothing of the phase perform"


def test_a_phase_that_never_ended_is_told(tmp_path: Path) -> None:
    found = measure(logged(record(tmp_path), SAID[:3]))
    for key in ("phase_s.perform", "phase_pause_s.perform"):
        assert found[key].reason == "libvirt's log tells no end of the phase perform"


def test_without_a_log_each_says_so(tmp_path: Path) -> None:
    found = measure(record(tmp_path))
    assert {found[key].reason for key in found if key.startswith("phase_")} == {"no log of libvirt was read"}
    assert found["handover.wait_s"].reason == "the source did not wait before its switchover"
    assert found["handover.start_s"].reason == "the destination waited for no word before RESUME"


def test_the_waits_of_a_handover_are_between_qemus_own_events(tmp_path: Path) -> None:
    recording = record(tmp_path)
    windows = windows_of(recording)
    assert windows.stop is not None
    assert windows.resume is not None
    offset = recording.wall_clock.offset_ns()
    path = recording.folder / "qmp_event.parquet"
    events = pl.read_parquet(path)
    added = [
        ("host-a", windows.stop + 2 * MS, "pre-switchover"), ("host-a", windows.stop + 32 * MS, "device"),
        ("host-b", windows.resume - 75 * MS, "completed"),
    ]  # fmt: skip
    told = [
        {
            "event": "MIGRATION", "event_wall_ns": at + offset, "recv_ns": at, "data": json.dumps({"status": status}),
            "source": "qmp", "host": host, "instance": "vm-1", "migration": "m-1",
        }
        for host, at, status in added
    ]  # fmt: skip
    pl.concat([events, pl.DataFrame(told, schema=events.schema)]).write_parquet(path)
    found = measure(Recording(recording.folder))
    assert found["handover.wait_s"].value == pytest.approx(0.03, abs=1e-5)
    assert found["handover.start_s"].value == pytest.approx(0.075, abs=1e-5)


LOG = """\
2026-11-29 10:33:51.934+0000: 3168: debug : qemuDomainObjSetJobPhase:564 : Setting 'migration out' phase to 'begin3'
2026-11-29 10:33:51.940+0000: 3168: debug : qemuMigrationSrcStoreDomainState:218 : Storing pre-migration state=1
2026-11-29 10:33:51.944+0000: 3168: debug : qemuMigrationSrcPerformPeer2Peer3:5828 : Prepare3 0x7fa538005a20
  <name>vm-1</name>
"""
BEGUN = int(datetime(2026, 11, 29, 10, 33, 51, tzinfo=UTC).timestamp()) * 10**9


async def test_the_log_is_read_from_the_start_of_the_trial_on(tmp_path: Path) -> None:
    (tmp_path / "phases.log").write_text(LOG.replace("Prepare3", "Perform3"))
    logs = {"host-a": str(tmp_path / "phases.log"), "host-b": str(tmp_path / "none")}
    async with Running(libvirt_log.main, program(tmp_path, logs=logs)):
        await asyncio.sleep(0)  # it goes on until it waits for its end
        with (tmp_path / "phases.log").open("a") as log:
            log.write(LOG)
    assert rows(tmp_path, "libvirt_log", "libvirt-log-host-a") == [
        dict(zip(("wall_ns", "thread", "function", "message"), row, strict=True))
        for row in (
            (BEGUN + 934 * MS, 3168, "qemuDomainObjSetJobPhase", "Setting 'migration out' phase to 'begin3'"),
            (BEGUN + 944 * MS, 3168, "qemuMigrationSrcPerformPeer2Peer3", "Prepare3 0x7fa538005a20"),
        )
    ]
    assert rows(tmp_path, "libvirt_log", "libvirt-log-host-b") == []
