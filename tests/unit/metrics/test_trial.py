"""Every metric against the truths of the script that the trial was recorded from."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from faketrial import FACTORS, PLAN, SCRIPT, record
from metricvalues import value
from publickeys import PUBLIC

from migrascope.metrics import migration
from migrascope.metrics.trial import Measurement, examine, measure
from migrascope.metrics.windows import RECOVERY_NS, windows_of
from migrascope.model.measured import Measured
from migrascope.model.plan import Plan
from migrascope.store.recording import Recording
from migrascope.trial.setup import T_MAX_S
from migrascope.trial.spool_watch import GRACE_NS

MS = 1e-3
BEFORE_NS = PLAN.windows.before * 1e9 + GRACE_NS
"""The window before: the plan's, and so long until the last probes of it were written."""
INTERVAL = 0.002


def test_every_public_key_is_measured(seen: Measurement) -> None:
    assert [key for key in PUBLIC if key not in seen.metrics or seen.metrics[key].value is None] == []
    assert seen.warnings == []


def test_only_the_stall_of_a_page_without_video_is_missing(tmp_path: Path) -> None:
    found = measure(record(tmp_path, factors=replace(FACTORS, scenario="none")))
    assert [key for key in PUBLIC if found[key].value is None] == ["player_stall_s"]
    assert found["player_stall_s"].reason == "the page of this scenario holds no video"


@pytest.mark.parametrize(
    ("key", "truth", "bound"),
    [
        ("migration_time_s", SCRIPT.precopy_s + SCRIPT.pause_s + 0.004, 1e-5),
        ("vm_pause_s", SCRIPT.pause_s, 2e-6),
        ("reported_total_s", SCRIPT.reported_total_s, 1e-9),
        ("reported_downtime_s", SCRIPT.reported_downtime_s, 1e-9),
        ("reported_transferred_bytes", SCRIPT.reported_transferred_bytes, 0),
        ("rounds", SCRIPT.rounds, 0),
        ("dirty_rate_Bps", SCRIPT.dirty_rate_Bps, 0),
        ("network_blackout_s", SCRIPT.gap_s, 1.4 * MS),
        ("network_outage_total_s", SCRIPT.gap_s, 2.5 * MS),
        ("network_outages", 1, 0),
        ("network_lost_time_s", SCRIPT.lost_s, 2.1 * MS),
        ("data_transferred_bytes", SCRIPT.data_bytes, 0),
        ("player_stall_s", SCRIPT.hold_s - 0.5, 1 * MS),
        ("player_stall_s.1", SCRIPT.hold_s - 1, 1 * MS),
        ("player_stall_s.2", 0, 0),
        ("player_lateness_s", SCRIPT.hold_s, 1 * MS),
        ("player_least_buffer_s", 0, 0),
        ("budget.reported_downtime_s", SCRIPT.reported_downtime_s, 1e-9),
        ("budget.until_resume_s", SCRIPT.pause_s - SCRIPT.reported_downtime_s, 2e-6),
        ("budget.until_reply_s", SCRIPT.gap_s - SCRIPT.pause_s, 0.3 * MS),
        ("probe.loss_ratio.before", 0, 0),
        ("probe.loss_ratio.after", 0, 0),
        ("probe.loss_ratio.switchover", SCRIPT.lost_s / 5.0, 0.02),
        ("probe.rtt_s.before.p50", SCRIPT.quiet_rtt_s * 1.087, 0.01 * MS),
        ("visitor.retransmit_ratio.before", 0, 0),
        ("visitor.goodput_bps.before", 100 * 24_000 * 8 + 2 * 400_000 * 8 / 2.0, 1.7e6),
        ("quality.wall_step_s", 0, 0),
        ("quality.steal", 0, 0),
    ],
)
def test_metric_is_the_truth(seen: Measurement, key: str, truth: float, bound: float) -> None:
    assert value(seen.metrics, key) == pytest.approx(truth, abs=bound)


def test_a_lost_probe_ranks_as_infinite_among_the_delays(seen: Measurement) -> None:
    """About 4 % of the probes around the switchover are lost, and none before."""
    worst, p99, p95 = (seen.metrics[f"probe.rtt_s.switchover.{p}"] for p in ("max", "p99", "p95"))
    assert (worst.value, worst.at_least, p99.value, p99.at_least) == (3.0, True, 3.0, True)
    assert not p95.at_least
    assert not seen.metrics["probe.rtt_s.before.max"].at_least
    lost, pairs = (seen.metrics[f"probe.{key}.switchover"] for key in ("loss_ratio", "rtt_variation_pairs_ratio"))
    assert value(seen.metrics, "probe.rtt_variation_pairs_ratio.before") == 1.0
    assert pairs.value == pytest.approx(1 - (lost.value or 0), abs=0.001)


def test_the_bracket_holds_the_truth(seen: Measurement) -> None:
    low, high = (value(seen.metrics, f"network_blackout_{end}_s") for end in ("low", "high"))
    assert low <= SCRIPT.gap_s <= high + 0.4 * MS
    assert high - low == pytest.approx(2 * INTERVAL, abs=0.1 * MS)


def test_visits_in_the_blackout_come_late_by_tcp_s_timers(seen: Measurement) -> None:
    """New connections lose their SYN (1 s), kept ones their request (200 ms); who waits under 100 ms is in time."""
    assert value(seen.metrics, "http_new_worst_s") == pytest.approx(1.0, abs=0.02)
    assert value(seen.metrics, "http_kept_worst_s") == pytest.approx(SCRIPT.gap_s, abs=0.15)
    for kind in ("new", "kept"):
        assert value(seen.metrics, f"http_{kind}_blackout_s") == pytest.approx(SCRIPT.lost_s, abs=0.025)
        assert value(seen.metrics, f"http_{kind}_late") == pytest.approx(SCRIPT.lost_s * 50, abs=1)
    again = value(seen.metrics, "visitor.retransmit_ratio.switchover")
    assert again > 0


def test_windows_are_where_the_script_puts_them(recording: Recording, seen: Measurement) -> None:
    windows = seen.windows
    assert windows.before is not None
    assert windows.during is not None
    assert windows.switchover is not None
    assert windows.after is not None
    request, stop, resume = windows.request, windows.stop, windows.resume
    assert request is not None
    assert stop is not None
    assert resume is not None
    assert windows.before[1] == request
    assert request - windows.before[0] == pytest.approx(BEFORE_NS, abs=10e6)
    assert stop - request == pytest.approx(SCRIPT.precopy_s * 1e9, abs=2000)
    assert resume - stop == pytest.approx(SCRIPT.pause_s * 1e9, abs=2000)
    assert windows.recovered == resume + RECOVERY_NS
    assert windows.during == (request, windows.recovered)
    assert windows.switchover == (stop - 1_000_000_000, stop + 4_000_000_000)
    assert windows.after[0] == windows.during[1]
    assert windows.after[1] - windows.after[0] == pytest.approx(BEFORE_NS, abs=10e6)
    assert windows.end - recording.events[-1].mono_ns == 0
    assert windows.after[1] <= windows.end - T_MAX_S * 1e9


def test_rounds_for_the_time_axis(recording: Recording) -> None:
    rounds = migration.rounds(recording)
    assert [item.number for item in rounds] == [1, 2, 3, 4]
    assert rounds[-1].dirty_rate_Bps == SCRIPT.dirty_rate_Bps
    assert migration.first_pass_ns(recording) == rounds[0].start_ns


def test_link_rate_while_ram_is_copied(seen: Measurement) -> None:
    truth = SCRIPT.data_bytes * 8 / (SCRIPT.precopy_s - 0.02 + SCRIPT.reported_downtime_s)
    assert value(seen.metrics, "link_payload_bps") == pytest.approx(truth, rel=1e-3)


CHANGES: dict[str, dict[str, Any]] = {
    "migration_time_s": {"precopy_s": 2.5},
    "reported_total_s": {"precopy_s": 2.5},
    "vm_pause_s": {"pause_s": 0.23},
    "reported_downtime_s": {"reported_downtime_s": 0.1},
    "reported_transferred_bytes": {"data_bytes": 90_000_000},
    "data_transferred_bytes": {"data_bytes": 90_000_000},
    "link_payload_bps": {"data_bytes": 90_000_000},
    "network_blackout_s": {"gap_s": 0.4},
    "network_outage_total_s": {"gap_s": 0.4},
    "network_lost_time_s": {"lost_s": 0.05},
    "http_new_blackout_s": {"lost_s": 0.05},
    "http_kept_blackout_s": {"gap_s": 0.9, "lost_s": 0.8},
    "player_stall_s": {"hold_s": 0.9},
    "player_stall_s.0.25": {"hold_s": 0.9},
    "rounds": {"rounds": 7},
    "dirty_rate_Bps": {"dirty_rate_Bps": 4096e3},
    "budget.until_resume_s": {"reported_downtime_s": 0.1},
    "budget.until_reply_s": {"gap_s": 0.4},
    "probe.rtt_s.before.p50": {"quiet_rtt_s": 0.002},
    "probe.rtt_variation_s.after.p95": {"quiet_rtt_s": 0.002},
    "probe.loss_ratio.before": {"lost_before": 5},
    "probe.loss_ratio.switchover": {"lost_s": 0.05},
    "visitor.rtt_s.before.p50": {"quiet_rtt_s": 0.002},
    "visitor.retransmit_ratio.switchover": {"lost_s": 0.0},
    "visitor.lost_s.during": {"gap_s": 0.9, "lost_s": 0.8},
    "quality.prober_late_max_s": {"prober_late_s": 0.03},
    "quality.wall_step_s": {"wall_step_s": 0.02},
}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Measured]]:
    """What is measured with the change for a key; keys with the same change share it."""

    @cache
    def of(words: str) -> dict[str, Measured]:
        return measure(record(tmp_path_factory.mktemp("changed"), **json.loads(words)))

    return lambda key: of(json.dumps(CHANGES[key]))


@pytest.mark.parametrize("key", CHANGES)
def test_metric_follows_its_input(changed: Callable[[str], dict[str, Measured]], seen: Measurement, key: str) -> None:
    assert value(changed(key), key) != pytest.approx(value(seen.metrics, key), rel=0.02, abs=1e-9)


def test_no_visit_around_the_switchover_is_no_blackout_of_nothing(tmp_path: Path) -> None:
    recording = record(tmp_path)
    switchover = windows_of(recording).switchover
    assert switchover is not None
    early = pl.col("due_ns") < switchover[0] - 10**9
    recording.table("visit").filter(early).write_parquet(recording.folder / "visit.parquet")
    found = measure(Recording(recording.folder))["http_new_blackout_s"]
    assert found.reason == "no visit was due around the switchover"


def test_a_step_of_the_wall_clock_voids_the_pause_alone(tmp_path: Path) -> None:
    found = examine(record(tmp_path, wall_step_s=0.25))
    assert "stepped by 250.0 ms" in str(found.metrics["vm_pause_s"].reason)
    assert any("wall clock stepped" in warning for warning in found.warnings)
    assert value(found.metrics, "network_blackout_s") == pytest.approx(SCRIPT.gap_s, abs=1.4 * MS)
    assert value(found.metrics, "migration_time_s") == pytest.approx(SCRIPT.precopy_s + SCRIPT.pause_s, abs=0.005)


def test_a_step_back_too(tmp_path: Path) -> None:
    found = measure(record(tmp_path, wall_step_s=-0.4))
    assert found["vm_pause_s"].value is None
    assert value(found, "network_blackout_s") == pytest.approx(SCRIPT.gap_s, abs=1.4 * MS)


def test_packets_that_wait_are_late_and_not_lost(tmp_path: Path) -> None:
    """stop and cont on one host: the tap queues, nothing is lost, so lost time says nothing of the pause."""
    found = measure(record(tmp_path, lost_s=0.0))
    assert value(found, "network_lost_time_s") == 0
    assert value(found, "probe.loss_ratio.during") == 0
    assert value(found, "network_blackout_s") == pytest.approx(SCRIPT.gap_s, abs=1.4 * MS)
    assert value(found, "probe.rtt_s.during.max") == pytest.approx(SCRIPT.gap_s, abs=2.1 * MS)
    assert value(found, "probe.late_ratio.switchover") == pytest.approx((SCRIPT.gap_s - 0.1) / 5.0, abs=0.004)


def test_packets_that_are_all_lost(tmp_path: Path) -> None:
    found = measure(record(tmp_path, lost_s=0.26))
    assert value(found, "network_lost_time_s") == pytest.approx(SCRIPT.gap_s, abs=2.1 * MS)
    assert value(found, "network_blackout_s") == pytest.approx(SCRIPT.gap_s, abs=2.1 * MS)
    errors = dict(found["network_blackout_s"].errors)
    assert errors.pop("resolution") == pytest.approx(INTERVAL, rel=0.02)
    assert 0 < sum(errors.values()) < 0.1 * INTERVAL
    assert found["network_blackout_s"].bound == pytest.approx(sum(errors.values()) + INTERVAL, rel=0.02)


def test_a_video_stored_on_the_instance_is_judged_by_the_file_s_buffer(tmp_path: Path) -> None:
    factors = replace(FACTORS, scenario="offline")
    found = measure(record(tmp_path, factors=factors, hold_s=2.7))
    assert value(found, "player_stall_s") == pytest.approx(0.7, abs=1 * MS)


def test_a_dirty_rate_without_qemu_s_own_is_from_pages_sent_again(tmp_path: Path) -> None:
    found = measure(record(tmp_path, drop=("qmp_status",)))["dirty_rate_Bps"]
    assert found.source == "query-migrate pages sent again"
    assert found.value == pytest.approx(SCRIPT.dirty_rate_Bps, rel=0.01)


def test_the_direction_does_not_matter(tmp_path: Path, recording: Recording) -> None:
    """Counters, events and answers are read by host: with the hosts' names swapped nothing is found."""
    folder = record(tmp_path).folder
    found = measure(Recording(folder, trial=replace(recording.trial, source="host-b", destination="host-a")))
    assert found["vm_pause_s"].reason == "no STOP on the source"
    assert found["rounds"].value is None


def test_windows_of_a_recording_alone(recording: Recording, seen: Measurement) -> None:
    assert windows_of(recording) == seen.windows
    assert windows_of(recording).span("during") == seen.windows.during


def test_a_reused_flow_number_counts_as_a_new_flow(recording: Recording) -> None:
    from migrascope.metrics.visitor import progress

    rows = recording.table("tcp_info").head(3).with_columns(
        flow=pl.lit(1), mono_ns=pl.Series([1, 2, 3]), segs_out=pl.Series([10, 15, 4]),
        total_retrans=pl.Series([1, 2, 0]), segs_in=pl.Series([5, 5, 7]),
    )  # fmt: skip
    seen = progress(rows)
    assert seen["new_out"].to_list() == [10, 5, 4]
    assert seen["new_retrans"].to_list() == [1, 1, 0]


def test_plan_windows_shorter_than_the_switchover(tmp_path: Path) -> None:
    quick = Plan.model_validate({"blocks": 1, "windows": {"before": "2s"}})
    found = measure(record(tmp_path, quick))
    assert [key for key in PUBLIC if found[key].value is None] == []
    assert PLAN.windows.before == 3


def test_a_stop_after_which_the_source_went_on_is_not_the_pause(tmp_path: Path) -> None:
    """Stopped for 100 ms half a second before the switchover."""
    recording = record(tmp_path)
    path = recording.folder / "qmp_event.parquet"
    events = pl.read_parquet(path)
    early = events.filter(pl.col("event") == "STOP").with_columns(
        pl.col("event_wall_ns") - 500_000_000, pl.col("recv_ns") - 500_000_000
    )
    again = early.with_columns(
        pl.col("event_wall_ns") + 100_000_000, pl.col("recv_ns") + 100_000_000, event=pl.lit("RESUME")
    )
    pl.concat([events, early, again]).write_parquet(path)
    found = examine(Recording(recording.folder))
    assert value(found.metrics, "vm_pause_s") == pytest.approx(SCRIPT.pause_s, abs=2e-6)
    assert found.windows.stop == windows_of(record(tmp_path / "whole")).stop
