"""What a load of the guest spoils, and what visitors lost in a migration."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from faketrial import FACTORS, SCRIPT, record
from metricvalues import value

from migrascope.metrics import visitor
from migrascope.metrics.trial import examine, measure
from migrascope.metrics.windows import windows_of
from migrascope.model.measured import Measured
from migrascope.model.steady import IN_TIME_NS
from migrascope.model.units import human
from migrascope.store.recording import Recording


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
    runs, beyond = 400, 0
    steps = np.random.default_rng(5).normal(size=(runs, before + during + 50))
    level, bins = np.zeros(runs), np.empty_like(steps)
    for at, step in enumerate(steps.T):
        level = correlation * level + (1 - correlation**2) ** 0.5 * step
        bins[:, at] = np.maximum(0.0, 1 + 0.2 * level)
    for seen in bins[:, 50:]:
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


def test_warnings_name_their_number(tmp_path: Path) -> None:
    recording = record(tmp_path, prober_late_s=0.03, lost_before=5)
    found = examine(recording)
    slept, lost = found.warnings
    assert value(found.metrics, "quality.prober_late_max_s") == pytest.approx(0.03, abs=0.002)
    assert human(value(found.metrics, "quality.prober_late_max_s"), "s") in slept
    share = 5 / before(recording, "echo_sent", "sent_ns").height
    assert value(found.metrics, "probe.loss_ratio.before") == pytest.approx(share)
    assert f"{100 * share:.3g} %" in lost
