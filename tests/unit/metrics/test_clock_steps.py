"""A step of the wall clock: below its warning it does not matter, above it the trial says so."""

from pathlib import Path

import numpy as np
import pytest
from faketrial import SCRIPT, record
from hypothesis import given, settings
from hypothesis import strategies as st

from migrascope.metrics.packets import arrivals, to_mono
from migrascope.metrics.trial import Measurement, examine, measure
from migrascope.model.clock import WallClock

MS = 1_000_000
SECOND = 1000 * MS
INTERVAL = 2 * MS
OFFSET = 7_000 * SECOND
BATCH = 50 * MS


def stepped(mono: np.ndarray, at: int, step: int) -> np.ndarray:
    """What the wall clock showed at moments (mono ns) when it was set by step at a moment."""
    return np.where(mono >= at, mono + OFFSET + step, mono + OFFSET)


def clock(at: int, step: int) -> WallClock:
    """Both clocks read together every 100 ms for 4 s."""
    mono = np.arange(41) * 100 * MS
    return WallClock(list(zip(mono.tolist(), stepped(mono, at, step).tolist(), strict=True)))


@settings(deadline=None)
@given(
    st.integers(1000 * MS, 3000 * MS),
    st.one_of(st.integers(150_000, 5 * MS), st.integers(100 * MS, SECOND)),
    st.booleans(),
    st.sampled_from([190_000, MS, 20 * MS, 60 * MS]),
    st.integers(0, 400 * MS),
)
def test_replies_are_where_they_were(at: int, step: int, back: bool, rtt: int, silence: int) -> None:
    """Probes every 2 ms, with up to 25 µs of jitter, read every 50 ms; some are not answered around the step."""
    step = -step if back else step
    chance = np.random.default_rng(1)
    sent = np.arange(500 * MS, 3500 * MS, INTERVAL) + chance.integers(0, 50_000, 1500)
    sent = sent[np.abs(sent - at) > silence // 2]
    came = sent + rtt + chance.integers(0, 25_000, len(sent))
    read = -(-came // BATCH) * BATCH
    found = arrivals(clock(at, step), stepped(came, at, step), sent, read)
    assert np.abs(found - came).max() <= 50_000


@given(st.integers(1000 * MS, 3000 * MS), st.integers(60_000, SECOND), st.booleans(), st.integers(-150, 150))
def test_events_that_are_read_at_once_are_where_they_were(at: int, step: int, back: bool, near_ms: int) -> None:
    step, came = -step if back else step, np.array([at + near_ms * MS])
    found = to_mono(clock(at, step), stepped(came, at, step), came + 50_000)
    assert found.tolist() == came.tolist()


KEYS = (
    "network_blackout_s", "network_lost_time_s", "network_outage_total_s", "network_outages",
    "probe.loss_ratio.during", "probe.loss_ratio.switchover", "probe.rtt_s.during.p50", "probe.rtt_s.during.p95",
    "probe.rtt_variation_s.during.p50", "probe.rtt_variation_s.during.p95", "migration_time_s",
)  # fmt: skip


@pytest.mark.parametrize("step_s", [0.0003, -0.0003, 0.0009, -0.0009, 0.25, -0.25])
def test_no_figure_of_the_probes_depends_on_a_step(tmp_path: Path, seen: Measurement, step_s: float) -> None:
    found = measure(record(tmp_path, wall_step_s=step_s))
    for key in KEYS:
        assert found[key].value == pytest.approx(seen.metrics[key].value, rel=1e-6, abs=5e-6), key


@pytest.mark.parametrize("step_s", [0.0003, -0.0009])
def test_the_bound_of_the_pause_holds_a_small_step(tmp_path: Path, step_s: float) -> None:
    found = examine(record(tmp_path, wall_step_s=step_s))
    pause = found.metrics["vm_pause_s"]
    assert pause.value is not None
    assert pause.bound is not None
    assert abs(pause.value - SCRIPT.pause_s) <= pause.bound
    assert pause.bound >= abs(step_s)
    assert not [warning for warning in found.warnings if "wall clock" in warning]


def test_a_large_step_is_said(tmp_path: Path) -> None:
    (warning,) = (words for words in examine(record(tmp_path, wall_step_s=0.0012)).warnings if "wall clock" in words)
    assert "1.20 ms" in warning
    assert "may be off by as much" in warning
