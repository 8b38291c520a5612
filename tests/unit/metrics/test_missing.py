"""What a trial lacks: no metric goes, and each says why it has no value."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from faketrial import FACTORS, record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metricvalues import value

from migrascope.metrics import migration
from migrascope.metrics.trial import Measurement, examine, measure
from migrascope.model.measured import Measured
from migrascope.model.tables import TABLES
from migrascope.store.recording import Recording


@pytest.fixture(scope="module")
def failures(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, Recording]:
    """A trial that went well, and one that failed in each way."""
    ways = ("destination-died", "source-killed", "not-converged")
    return {None: recording, **{way: record(tmp_path_factory.mktemp(way), failure=way) for way in ways}}


def without(recording: Recording, folder: Path, *dropped: str) -> Recording:
    """The same trial without these tables; its files are links, so that whoever changes one must replace it."""
    shutil.copytree(recording.folder, folder, copy_function=os.link)
    for table in dropped:
        (folder / f"{table}.parquet").unlink(missing_ok=True)
    return Recording(folder)


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ("echo_sent", ["network_blackout_s", "network_lost_time_s", "probe.rtt_s.during.p50", "budget.until_reply_s"]),
        ("echo_reply", ["network_blackout_s", "probe.rtt_s.during.p50", "probe.rtt_variation_s.before.p50"]),
        ("qmp_event", ["vm_pause_s", "rounds", "link_payload_bps"]),
        ("visit", ["http_new_blackout_s", "http_kept_blackout_s"]),
        ("tcp_info", ["visitor.rtt_s.before.p50", "visitor.retransmit_ratio.during"]),
        ("segment", ["player_stall_s"]),
        ("arrival", ["player_stall_s"]),
        ("link", ["data_transferred_bytes", "link_payload_bps"]),
        ("machine", ["quality.cpu_pressure", "quality.steal"]),
    ],
)
def test_without_its_table_a_metric_is_missing_and_says_why(
    recording: Recording, tmp_path: Path, table: str, keys: list[str]
) -> None:
    found = measure(without(recording, tmp_path / "trial", table))
    for key in keys:
        assert found[key].value is None, key
        assert found[key].reason


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dropped=st.sets(st.sampled_from(sorted(set(TABLES) - {"hold"})), min_size=1),
    failure=st.sampled_from([None, "destination-died", "source-killed", "not-converged"]),
    events=st.integers(0, 16),
)
def test_whatever_is_missing_nothing_raises_and_no_key_goes(
    failures: dict[str | None, Recording],
    tmp_path: Path,
    seen: Measurement,
    dropped: set[str],
    failure: str | None,
    events: int,
) -> None:
    recording = without(failures[failure], Path(tempfile.mkdtemp(dir=tmp_path)) / "trial", *dropped)
    path = recording.folder / "events.ndjson"
    kept = path.read_text().splitlines(keepends=True)[:events]
    path.unlink()
    path.write_text("".join(kept))
    found = measure(recording)
    assert set(found) == set(seen.metrics)
    for key, measured in found.items():
        assert measured.unit == seen.metrics[key].unit, key


def test_no_events_and_no_tables_at_all(tmp_path: Path) -> None:
    recording = record(tmp_path, drop=tuple(TABLES))
    (recording.folder / "events.ndjson").write_text("")
    found = measure(Recording(recording.folder))
    assert [key for key, measured in found.items() if measured.value is not None] == []


def test_a_migration_that_failed_in_pre_copy(tmp_path: Path) -> None:
    found = examine(record(tmp_path, failure="destination-died"))
    assert found.metrics["migration_time_s"].reason == "the migration did not complete"
    assert found.metrics["vm_pause_s"].reason == "no STOP on the source"
    assert found.metrics["reported_downtime_s"].value is None
    assert value(found.metrics, "network_blackout_s") < 0.002
    assert value(found.metrics, "network_lost_time_s") == 0
    assert value(found.metrics, "data_transferred_bytes") > 0
    assert found.windows.switchover is not None
    assert found.windows.recovered is not None


def test_a_source_killed_after_stop(tmp_path: Path) -> None:
    found = measure(record(tmp_path, failure="source-killed"))
    assert found["vm_pause_s"].reason == "no RESUME on the destination"
    assert found["budget.until_reply_s"].reason == "no RESUME on the destination"
    for key in ("network_blackout_s", "network_outage_total_s", "network_lost_time_s", "player_stall_s",
                "http_new_blackout_s", "http_kept_blackout_s", "http_new_worst_s"):  # fmt: skip
        assert found[key].at_least, key
        assert value(found, key) > 1.0, key
    assert found["player_least_buffer_s"] == Measured(0.0, "s", "arrival", samples=found["player_stall_s"].samples)
    assert value(found, "probe.loss_ratio.during") > 0.6
    assert found["probe.rtt_s.after.p50"].reason == "the trial has no window after"


def test_downtime_that_qemu_has_not_set_yet_is_not_zero(tmp_path: Path, recording: Recording) -> None:
    unset = {"status": "completed", "total-time": 0, "downtime": 0}
    assert migration.final_answer(recording, [(1, unset)])["downtime"] > 0
    bare = record(tmp_path, drop=("qmp_status",))
    path = bare.folder / "events.ndjson"
    path.write_text(path.read_text().replace('"downtime": 160', '"downtime": 0'))
    assert measure(Recording(bare.folder))["reported_downtime_s"].value is None


def test_without_probes_the_hypervisor_s_figures_stay(tmp_path: Path) -> None:
    found = measure(record(tmp_path, factors=replace(FACTORS, probes="none")))
    for key in ("migration_time_s", "vm_pause_s", "data_transferred_bytes", "reported_downtime_s"):
        assert found[key].value is not None
    assert found["network_blackout_s"].reason == "no echo probes in during"


def test_probes_still_on_their_way_when_a_trial_broke_off_are_not_lost(tmp_path: Path) -> None:
    recording = record(tmp_path, failure="source-killed")
    path = recording.folder / "events.ndjson"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if '"collect"' not in line))
    broken = Recording(recording.folder)
    whole, cut = record(tmp_path, failure="source-killed"), examine(broken)
    assert cut.windows.end == broken.table("echo_sent")["sent_ns"][-1]
    lost = value(cut.metrics, "network_lost_time_s")
    assert 0 < value(measure(whole), "network_lost_time_s") - lost == pytest.approx(3.0, abs=0.01)
