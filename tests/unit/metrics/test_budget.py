"""The downtime budget adds up to the network blackout, and the window switchover holds the whole of it."""

from pathlib import Path

import polars as pl
import pytest
from faketrial import SCRIPT, record

from migrascope.metrics.budget import PARTS
from migrascope.metrics.trial import Measurement, examine
from migrascope.metrics.windows import windows_of
from migrascope.model.measured import Measured, added
from migrascope.store.recording import Recording

S = 10**9
INTERVAL_S = 0.002


def wired_early(recording: Recording, early_s: float) -> Recording:
    """The network leaves the source so long before STOP: what is asked for from then on is not answered."""
    stop = windows_of(recording).stop
    assert stop is not None
    begin = stop - round(early_s * S)
    silent = recording.table("echo_sent").filter(pl.col("sent_ns").is_between(begin, stop))["seq"].to_list()
    replies = recording.table("echo_reply").filter(~pl.col("seq").is_in(silent))
    replies.write_parquet(recording.folder / "echo_reply.parquet")
    return Recording(recording.folder)


def number(seen: Measurement, key: str) -> float:
    value = seen.metrics[key].value
    assert value is not None, (key, seen.metrics[key].reason)
    return value


def total(seen: Measurement) -> float:
    return sum(number(seen, key) for key in PARTS)


@pytest.mark.parametrize("lost_s", [0.0, 0.2, 0.26])
def test_the_parts_add_up_to_the_blackout(tmp_path: Path, lost_s: float) -> None:
    seen = examine(record(tmp_path, lost_s=lost_s))
    assert total(seen) == pytest.approx(number(seen, "network_blackout_s"), abs=2e-6)
    assert abs(number(seen, "budget.before_stop_s")) <= INTERVAL_S


@pytest.mark.parametrize("early_s", [0.3, 1.2])
def test_what_was_silent_before_stop_is_a_part_of_it(tmp_path: Path, early_s: float) -> None:
    seen = examine(wired_early(record(tmp_path), early_s))
    assert number(seen, "network_blackout_s") == pytest.approx(SCRIPT.gap_s + early_s, abs=INTERVAL_S)
    assert number(seen, "budget.before_stop_s") == pytest.approx(early_s, abs=INTERVAL_S)
    assert total(seen) == pytest.approx(number(seen, "network_blackout_s"), abs=2e-6)


def test_the_parts_carry_the_sum_of_the_bounds(tmp_path: Path) -> None:
    found = examine(record(tmp_path)).metrics
    pause, reported = found["vm_pause_s"].bound, found["reported_downtime_s"].bound
    assert pause is not None
    assert reported is not None
    assert found["budget.until_resume_s"].bound == pytest.approx(pause + reported)
    ends = [error for name, error in found["network_blackout_s"].errors if name != "resolution"]
    assert found["budget.before_stop_s"].bound == pytest.approx(INTERVAL_S / 2 + pause + sum(ends), rel=0.02)


def test_the_switchover_holds_a_blackout_that_began_before_it(tmp_path: Path) -> None:
    """1.2 s before STOP, so that 0.2 s of the silence are before the window's usual beginning."""
    plain = examine(record(tmp_path / "plain"))
    early = examine(wired_early(record(tmp_path / "early"), 1.2))
    assert number(plain, "switchover_s") == pytest.approx(5.0)
    assert number(early, "switchover_s") == pytest.approx(5.2, abs=2 * INTERVAL_S)
    samples = early.metrics["probe.loss_ratio.switchover"].samples
    assert samples is not None
    lost_s = number(early, "probe.loss_ratio.switchover") * samples * INTERVAL_S
    assert lost_s == pytest.approx(number(early, "network_lost_time_s"), abs=2 * INTERVAL_S)
    assert number(early, "network_lost_time_s") == pytest.approx(1.2 + SCRIPT.lost_s, abs=2 * INTERVAL_S)


def test_a_bound_of_nothing_is_not_known() -> None:
    assert Measured(1.0, "s", "echo", bound=0.0).bound is None
    assert added(0.5, None, 0.25) == 0.75
    assert added(None, None) is None


def test_no_metric_has_a_bound_of_nothing(tmp_path: Path) -> None:
    found = examine(record(tmp_path)).metrics
    assert [key for key, measured in found.items() if measured.bound is not None and not measured.bound > 0] == []
