"""Trials of the fake lab as data: what was sampled becomes a request, what was measured an outcome."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from faketrial import FACTORS, SCRIPT, light, record

from migrascope.metrics.trial import measure
from migrascope.model.measured import Measured, missing
from migrascope.model.policy import BUILT_IN, Policy
from migrascope.predict.recorded import before_qemu_s, outcome_of, request_for, request_of
from migrascope.predict.request import Guest, NotPredicted
from migrascope.store.recording import Recording, parquet

PRE_COPY = BUILT_IN["pre-copy"]
PAYLOAD = 1448 / 1514
PHASES = {"connect": 0.02, "begin": 0.03, "prepare": 0.3, "perform": 1.0}
PLAN = light(probes={"dirty": True, "echo_rate": 50}, blocks=1)


def sampled(folder: Path, rate_mib: float = 20.0, **changes: Any) -> Recording:
    return record(folder, PLAN, dirty_rate_Bps=rate_mib * 2**20, **changes)


def rewritten(recording: Recording, rows: pl.DataFrame) -> Recording:
    (recording.folder / "sample.parquet").write_bytes(parquet(rows))
    return Recording(recording.folder)


def test_a_sampled_trial_is_a_request(tmp_path: Path) -> None:
    found = request_of(sampled(tmp_path), PRE_COPY)
    assert found.guest.memory_bytes == FACTORS.memory_bytes
    assert found.guest.held_bytes == FACTORS.memory_bytes / 4
    assert found.link_Bps == pytest.approx(FACTORS.link_bps / 8 * PAYLOAD)
    assert found.settings.limits[-1].limit_s == FACTORS.downtime_limit_s
    assert found.settings.deadline_s == PLAN.windows.limit
    assert found.accelerator == "none"
    for seconds in (0.05, 0.5, 4.0):
        assert found.guest.dirtying.within(seconds) == pytest.approx(20.5 * 2**20 * seconds, rel=0.1)


def test_the_policy_s_own_bound_counts_where_it_is_less(tmp_path: Path) -> None:
    recording = sampled(tmp_path)
    free = request_of(recording, PRE_COPY)
    bounded = request_of(recording, Policy.model_validate({"bandwidth": "80mbit"}))
    assert (bounded.link_Bps, bounded.sent_Bps()) == (free.link_Bps, 10e6)
    wide = request_of(recording, Policy.model_validate({"bandwidth": "80gbit"}))
    assert wide.sent_Bps() == free.sent_Bps() == free.link_Bps


def test_a_link_without_a_rate_is_what_the_policy_lets_over_it(tmp_path: Path) -> None:
    factors = replace(FACTORS, link_bps=0.0)
    guest = Guest(2**29, 2**27)
    assert (
        request_for(guest, factors, Policy.model_validate({"bandwidth": "80mbit"}), "tcg", 60.0, "qemu").link_Bps
        == 10e6
    )
    with pytest.raises(NotPredicted, match="link's rate is not known"):
        request_for(guest, factors, PRE_COPY, "tcg", 60.0, "qemu")


def test_a_trial_without_samples_says_what_would_help(tmp_path: Path) -> None:
    with pytest.raises(NotPredicted, match=r"not sampled; set probes\.dirty = true in the plan"):
        request_of(record(tmp_path, light(blocks=1)), PRE_COPY)


def test_zeros_under_load_are_no_sample(tmp_path: Path) -> None:
    idle = sampled(tmp_path / "idle", 0.0)
    assert request_of(idle, PRE_COPY).guest.dirtying.sets == ()
    factors = FACTORS.__class__(**{**vars(FACTORS), "write_Bps": 40e6, "write_set_bytes": 2**26})
    loaded = record(tmp_path / "loaded", PLAN, factors, dirty_rate_Bps=0.0)
    with pytest.raises(NotPredicted, match="the guest writes 40 MB/s and no sampled page changed"):
        request_of(loaded, PRE_COPY)


def test_periods_that_failed_are_left_out_and_none_at_all_is_said(tmp_path: Path) -> None:
    recording = sampled(tmp_path)
    rows = recording.table("sample")
    failed = (pl.col("what") == "dirty") & (pl.col("period_s") < 1)
    some = rows.with_columns(pl.when(failed).then(pl.lit("")).otherwise(pl.col("answer")).alias("answer"))
    assert request_of(rewritten(recording, some), PRE_COPY).guest.dirtying.within(1.0) > 0
    none = rows.with_columns(
        pl.when(pl.col("what") == "dirty").then(pl.lit("")).otherwise(pl.col("answer")).alias("answer"),
        pl.lit("too old").alias("error"),
    )
    with pytest.raises(NotPredicted, match="QEMU gave no dirty rate: too old"):
        request_of(rewritten(recording, none), PRE_COPY)


def test_memory_that_nobody_looked_at_is_not_guessed(tmp_path: Path) -> None:
    recording = sampled(tmp_path)
    rows = recording.table("sample").with_columns(
        pl.when(pl.col("what") == "held").then(pl.lit("")).otherwise(pl.col("answer")).alias("answer"),
        pl.lit("0 mappings are of its size").alias("error"),
    )
    with pytest.raises(NotPredicted, match="memory holds is not known: 0 mappings"):
        request_of(rewritten(recording, rows), PRE_COPY)


def test_what_was_measured_is_the_outcome(tmp_path: Path) -> None:
    recording = sampled(tmp_path)
    metrics = measure(recording)
    found = outcome_of(recording.trial.status, metrics)
    assert found is not None
    assert found.ended
    assert found.time_s == metrics["migration_time_s"].value
    assert found.pause_s == pytest.approx(SCRIPT.pause_s, abs=1e-5)
    assert found.data_bytes == metrics["data_transferred_bytes"].value
    assert found.rounds == SCRIPT.rounds


def test_time_begins_when_libvirt_has_asked_qemu(tmp_path: Path) -> None:
    metrics = dict(measure(sampled(tmp_path)))
    whole = metrics["migration_time_s"].value
    assert before_qemu_s(metrics) is None
    metrics |= {f"phase_s.{name}": Measured(took, "s", "libvirt_log") for name, took in PHASES.items()}
    found = outcome_of("ok", metrics)
    assert found is not None
    assert before_qemu_s(metrics) == pytest.approx(0.35)
    assert found.time_s == pytest.approx((whole or 0) - 0.35)
    metrics["phase_s.prepare"] = missing("s", "libvirt_log", "libvirt's log tells nothing of the phase prepare")
    assert before_qemu_s(metrics) is None


def test_a_migration_by_libvirt_is_asked_for_as_libvirt_sets_it(tmp_path: Path) -> None:
    recording = sampled(tmp_path)
    wanted = Policy.model_validate({"post_copy": {"after_round": 1}, "bandwidth": "200mbit"})
    by_qemu = request_of(recording, wanted)
    recording.trial = replace(recording.trial, facts=recording.trial.facts | {"lab": "libvirt"})
    by_libvirt = request_of(recording, wanted)
    assert (by_qemu.settings.preempts, by_libvirt.settings.preempts) == (False, True)
    assert (by_qemu.settings.bound_Bps, by_libvirt.settings.bound_Bps) == (25e6, 24 * 2**20)
    with pytest.raises(NotPredicted, match="no rule here for libvirt's tunnel"):
        request_of(recording, Policy(tunnelled=True))


def test_a_migration_that_was_cancelled_did_not_end_and_one_that_failed_says_nothing(tmp_path: Path) -> None:
    late = sampled(tmp_path / "late", failure="not-converged")
    found = outcome_of(late.trial.status, measure(late))
    assert found is not None
    assert not found.ended
    died = sampled(tmp_path / "died", failure="destination-died")
    assert outcome_of(died.trial.status, measure(died)) is None
