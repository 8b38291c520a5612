"""Every metric against the truths of the script that the trial was recorded from."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from faketrial import FACTORS, PLAN, SCRIPT, record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from publickeys import PUBLIC

from migrascope.metrics import link, migration, visitor
from migrascope.metrics.trial import Measurement, examine, measure
from migrascope.metrics.windows import RECOVERY_NS, windows_of
from migrascope.model.measured import Measured
from migrascope.model.plan import Plan
from migrascope.model.steady import IN_TIME_NS
from migrascope.model.tables import TABLES
from migrascope.model.units import human
from migrascope.store.recording import Recording
from migrascope.trial.setup import T_MAX_S
from migrascope.trial.spool_watch import GRACE_NS

MS = 1e-3
BEFORE_NS = PLAN.windows.before * 1e9 + GRACE_NS
"""The window before: the plan's, and so long until the last probes of it were written."""
INTERVAL = 0.002


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("truth"))


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


@pytest.fixture(scope="module")
def seen(recording: Recording) -> Measurement:
    return examine(recording)


def value(found: dict[str, Measured], key: str) -> float:
    got = found[key].value
    assert got is not None, (key, found[key].reason)
    return got


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


@pytest.mark.parametrize("key", CHANGES)
def test_metric_follows_its_input(tmp_path: Path, seen: Measurement, key: str) -> None:
    changed = measure(record(tmp_path, **CHANGES[key]))
    assert value(changed, key) != pytest.approx(value(seen.metrics, key), rel=0.02, abs=1e-9)


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


def before(recording: Recording, table: str, at: str) -> pl.DataFrame:
    """A table's rows of the window before, by this stamp."""
    span = windows_of(recording).before
    assert span is not None
    return recording.table(table).filter(pl.col(at) >= span[0], pl.col(at) < span[1])


def slowed(recording: Recording, seconds: pl.Expr, until: str = "before") -> dict[str, Measured]:
    """The trial with the visits up to the end of a window answered so much later."""
    span = windows_of(recording).span(until)
    assert span is not None
    later = pl.when(pl.col("due_ns") < span[1]).then(seconds * 10**9).otherwise(0).cast(pl.Int64)
    visits = recording.table("visit").with_columns(done_ns=pl.col("done_ns") + later)
    visits.write_parquet(recording.folder / "visit.parquet")
    return measure(Recording(recording.folder))


LOADED = replace(FACTORS, write_Bps=40e6, write_set_bytes=2**27, write_pattern="random")
"""A load that the plan declares: what is late before the migration belongs to it."""


def test_a_blackout_that_a_declared_load_hides_is_not_nothing(tmp_path: Path) -> None:
    found = slowed(record(tmp_path, factors=LOADED), pl.when(pl.col("seq") % 5 == 0).then(0.5).otherwise(0.0))
    for kind in ("new", "kept"):
        assert value(found, f"http_{kind}_late_after_s") == pytest.approx(1.5, abs=0.05)
        assert value(found, f"http_{kind}_late") == 0
        assert value(found, f"http_{kind}_worst_s") > 0.2
        assert found[f"http_{kind}_blackout_s"].value is None
        assert "only over 1.5" in str(found[f"http_{kind}_blackout_s"].reason)


def test_a_window_before_that_was_not_steady_spoils_what_is_compared_with_it(tmp_path: Path) -> None:
    whole = examine(record(tmp_path / "whole"))
    assert value(whole.metrics, "load.in_time_ratio.new") == 1.0
    assert not [warning for warning in whole.warnings if "not steady" in warning]
    recording = record(tmp_path / "late")
    slowed(recording, pl.when(pl.col("seq") % 50 == 0).then(0.5).otherwise(0.0))
    late = examine(Recording(recording.folder))
    reason = "the window before the migration was not steady: 98 % of visits in time (new)"
    request = windows_of(recording).request
    assert request is not None
    judged = before(recording, "visit", "due_ns").filter(pl.col("due_ns") < request - IN_TIME_NS)
    new = judged.filter(pl.col("kind") == "new")["seq"]
    assert value(late.metrics, "load.in_time_ratio.new") == pytest.approx((new % 50 != 0).mean())
    for key in ("http_new_worst_s", "http_kept_worst_s", "player_stall_s", "visitor.lost_s.during"):
        assert late.metrics[key].reason == reason
    for key in ("vm_pause_s", "network_blackout_s", "visitor.goodput_bps.switchover"):
        assert late.metrics[key] == replace(whole.metrics[key], bound=late.metrics[key].bound), key
    assert [warning for warning in late.warnings if reason in warning]


@pytest.mark.parametrize(("share", "spoiled", "warned"), [(0.5, False, False), (0.65, False, True), (0.8, True, True)])
def test_a_guest_that_the_load_saturates_spoils_what_visitors_saw(
    tmp_path: Path, share: float, spoiled: bool, warned: bool
) -> None:
    recording = record(tmp_path)
    counts = recording.table("guest_load")
    counts.with_columns(idle_s=pl.col("uptime_s") * (1 - share)).write_parquet(recording.folder / "guest_load.parquet")
    found = examine(Recording(recording.folder))
    assert value(found.metrics, "load.guest_busy_ratio") == pytest.approx(share)
    assert (found.metrics["http_new_blackout_s"].value is None) == spoiled
    if spoiled:
        assert "the load saturates the guest: 80 % of a core" in str(found.metrics["http_new_blackout_s"].reason)
    assert any("catches up late" in warning for warning in found.warnings) == warned


def test_no_visit_around_the_switchover_is_no_blackout_of_nothing(tmp_path: Path) -> None:
    recording = record(tmp_path)
    switchover = windows_of(recording).switchover
    assert switchover is not None
    early = pl.col("due_ns") < switchover[0] - 10**9
    recording.table("visit").filter(early).write_parquet(recording.folder / "visit.parquet")
    found = measure(Recording(recording.folder))["http_new_blackout_s"]
    assert found.reason == "no visit was due around the switchover"


WITHOUT_VIDEO = replace(FACTORS, scenario="none")


def uneven(recording: Recording) -> pl.Expr:
    """Of four bins of 100 ms since the window before began one is empty and the next twice as full."""
    span = windows_of(recording).before
    assert span is not None
    bins = (pl.col("due_ns") - span[0]) // 10**8
    return pl.when(bins % 4 == 0).then(0.1).otherwise(0.0)


def test_what_visitors_lost_is_the_gap(tmp_path: Path) -> None:
    found = measure(record(tmp_path, factors=WITHOUT_VIDEO))["visitor.lost_s.during"]
    assert found.value == pytest.approx(SCRIPT.gap_s, abs=0.1)
    assert found.bound == pytest.approx(0.2, abs=0.02)


def test_what_unevenly_served_visitors_lost_is_the_gap_within_its_bound(tmp_path: Path) -> None:
    recording = record(tmp_path, factors=replace(LOADED, scenario="none"))
    found = slowed(recording, uneven(recording), "during")["visitor.lost_s.during"]
    assert found.value is not None
    assert found.bound is not None
    assert found.bound > 0.4
    assert abs(found.value - SCRIPT.gap_s) < found.bound


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
@pytest.mark.parametrize(("before", "during"), [(50, 20), (50, 50), (100, 300)])
def test_the_bound_of_what_visitors_lost_holds_where_bins_are_alike(
    before: int, during: int, correlation: float
) -> None:
    """Quiet recordings of bins that follow one another (AR(1)): at most 8 % are beyond a bound of 95 %; by the scatter
    of single bins 20 to 60 % were."""
    chance, runs, beyond = np.random.default_rng(5), 400, 0
    for _ in range(runs):
        steps, level, bins = chance.normal(size=before + during + 50), 0.0, []
        for step in steps:
            level = correlation * level + (1 - correlation**2) ** 0.5 * float(step)
            bins.append(max(0.0, 1 + 0.2 * level))
        seen = np.array(bins[50:])
        usual = np.median(seen[:before])
        short, missed = np.maximum(0, 1 - seen[:before] / usual), np.maximum(0, 1 - seen[before:] / usual)
        lost = missed.sum() - during * short.mean()
        beyond += abs(lost) > 2.0 + visitor.spread(short) * (during * (1 + during / before)) ** 0.5
    assert beyond / runs <= 0.08


def test_visitors_who_were_served_worse_before_lost_less_than_nothing(tmp_path: Path) -> None:
    recording = record(tmp_path, factors=replace(LOADED, scenario="none"))
    found = slowed(recording, uneven(recording))["visitor.lost_s.during"]
    assert found.value is not None
    assert found.value < 0


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


def test_warnings_name_their_number(tmp_path: Path) -> None:
    recording = record(tmp_path, prober_late_s=0.03, lost_before=5)
    found = examine(recording)
    slept, lost = found.warnings
    assert value(found.metrics, "quality.prober_late_max_s") == pytest.approx(0.03, abs=0.002)
    assert human(value(found.metrics, "quality.prober_late_max_s"), "s") in slept
    share = 5 / before(recording, "echo_sent", "sent_ns").height
    assert value(found.metrics, "probe.loss_ratio.before") == pytest.approx(share)
    assert f"{100 * share:.3g} %" in lost


def test_a_video_stored_on_the_instance_is_judged_by_the_file_s_buffer(tmp_path: Path) -> None:
    factors = replace(FACTORS, scenario="offline")
    found = measure(record(tmp_path, factors=factors, hold_s=2.7))
    assert value(found, "player_stall_s") == pytest.approx(0.7, abs=1 * MS)


def test_downtime_that_qemu_has_not_set_yet_is_not_zero(tmp_path: Path, recording: Recording) -> None:
    unset = {"status": "completed", "total-time": 0, "downtime": 0}
    assert migration.final_answer(recording, [(1, unset)])["downtime"] > 0
    bare = record(tmp_path, drop=("qmp_status",))
    path = bare.folder / "events.ndjson"
    path.write_text(path.read_text().replace('"downtime": 160', '"downtime": 0'))
    assert measure(Recording(bare.folder))["reported_downtime_s"].value is None


def test_a_dirty_rate_without_qemu_s_own_is_from_pages_sent_again(tmp_path: Path) -> None:
    found = measure(record(tmp_path, drop=("qmp_status",)))["dirty_rate_Bps"]
    assert found.source == "query-migrate pages sent again"
    assert found.value == pytest.approx(SCRIPT.dirty_rate_Bps, rel=0.01)


def test_without_probes_the_hypervisor_s_figures_stay(tmp_path: Path) -> None:
    found = measure(record(tmp_path, factors=replace(FACTORS, probes="none")))
    for key in ("migration_time_s", "vm_pause_s", "data_transferred_bytes", "reported_downtime_s"):
        assert found[key].value is not None
    assert found["network_blackout_s"].reason == "no echo probes in during"


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


def test_probes_still_on_their_way_when_a_trial_broke_off_are_not_lost(tmp_path: Path) -> None:
    recording = record(tmp_path, failure="source-killed")
    path = recording.folder / "events.ndjson"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if '"collect"' not in line))
    broken = Recording(recording.folder)
    whole, cut = record(tmp_path, failure="source-killed"), examine(broken)
    assert cut.windows.end == broken.table("echo_sent")["sent_ns"][-1]
    lost = value(cut.metrics, "network_lost_time_s")
    assert 0 < value(measure(whole), "network_lost_time_s") - lost == pytest.approx(3.0, abs=0.01)


def test_data_counts_both_directions_less_headers(recording: Recording, seen: Measurement) -> None:
    """A destination that answers with 1000 bytes in each of its packets."""
    changed = recording.table("link").with_columns(
        to_node_bytes=pl.col("to_node_bytes") + 1000 * pl.col("to_node_packets")
    )
    windows = seen.windows
    assert windows.during is not None
    port = changed.filter(pl.col("link") == "migration", pl.col("node") == "host-a").sort("mono_ns")
    acks = port["to_node_packets"]
    measured = link.data(link.Counters.of(changed, "migration", "host-a"), windows)
    assert measured.value == SCRIPT.data_bytes + 1000 * (acks[-1] - acks[0])


SOURCES_PORT = (pl.col("link") == "migration") & (pl.col("node") == "host-a")
COUNTERS = [f"{way}_node_{what}" for way in ("from", "to") for what in ("bytes", "packets")]


def made_anew(recording: Recording, begun: int) -> pl.DataFrame:
    """The source's port on the migration link counts from 0 again since the sample before begun."""
    table = recording.table("link")
    base = table.filter(SOURCES_PORT).sort("mono_ns").filter(pl.col("mono_ns") < begun).row(-1, named=True)
    chosen = SOURCES_PORT & (pl.col("mono_ns") >= begun)
    return table.with_columns(
        pl.when(chosen).then(pl.col(name) - base[name]).otherwise(pl.col(name)).alias(name) for name in COUNTERS
    )


def check_made_anew(recording: Recording) -> None:
    found = examine(Recording(recording.folder))
    data = found.metrics["data_transferred_bytes"]
    assert data.at_least
    assert data.value == pytest.approx(SCRIPT.data_bytes)
    assert found.metrics["link_payload_bps"].value is None
    assert any("made anew" in warning for warning in found.warnings)


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_a_port_that_is_made_anew_is_noticed(tmp_path: Path, share: float) -> None:
    """Its counters begin again at 0 after so much of what the source sent, before STOP."""
    recording = record(tmp_path)
    rows = recording.table("link").filter(SOURCES_PORT).sort("mono_ns")
    first, last = rows["from_node_bytes"][0], rows["from_node_bytes"][-1]
    begun = rows.filter(pl.col("from_node_bytes") > first + share * (last - first))["mono_ns"][0]
    made_anew(recording, begun).write_parquet(recording.folder / "link.parquet")
    check_made_anew(recording)


def test_a_port_whose_new_counters_exceed_the_old_ones_is_noticed_by_its_number(tmp_path: Path) -> None:
    """Made anew after the first sample of the copy: at the next one it has carried more than the old port ever did."""
    recording = record(tmp_path)
    rows = recording.table("link").filter(SOURCES_PORT).sort("mono_ns")
    begun = rows.filter(pl.col("from_node_bytes") > rows["from_node_bytes"][0])["mono_ns"][1]
    table = made_anew(recording, begun)
    for name in COUNTERS:
        assert (table.filter(SOURCES_PORT).sort("mono_ns")[name].diff().drop_nulls() >= 0).all(), name
    later = SOURCES_PORT & (pl.col("mono_ns") >= begun)
    table = table.with_columns(ifindex=pl.when(later).then(pl.col("ifindex") + 40).otherwise(pl.col("ifindex")))
    table.write_parquet(recording.folder / "link.parquet")
    check_made_anew(recording)


def test_a_recording_of_before_there_were_numbers_of_ports_is_read(tmp_path: Path) -> None:
    recording = record(tmp_path)
    whole = examine(recording).metrics
    recording.table("link").drop("ifindex").write_parquet(recording.folder / "link.parquet")
    older = Recording(recording.folder)
    assert older.table("link")["ifindex"].unique().to_list() == [0]
    assert examine(older).metrics == whole


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
