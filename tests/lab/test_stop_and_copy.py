"""A guest that stands still while most of it is sent: QEMU answers nobody all the while, and the trial is whole."""

from pathlib import Path

import pytest

from lab.machine import only_trial
from migrascope.metrics.trial import measure

pytestmark = pytest.mark.lab
PLAN = """
name = "stop-and-copy"
blocks = 1
[axes]
scenario = ["none"]
memory = ["512MiB"]
resident = ["192MiB"]
link = ["200mbit"]
downtime_limit = ["30s"]
[windows]
before = "2s"
limit = "2min"
boot_limit = "3min"
steady_limit = "2min"
[probes]
dirty = false
echo_rate = 100
[visitors]
new_rate = 5
kept_rate = 5
viewers = 0
[verdict]
outage = "1min"
"""
SILENT_S = 6.0
"""Longer than a monitor is waited for otherwise; 192 MiB take 8 s at 200 Mbit/s."""


@pytest.mark.soak
def test_a_long_stop_is_measured(tmp_path: Path) -> None:
    found = measure(only_trial(tmp_path, PLAN))
    pause, blackout = found["vm_pause_s"].value, found["network_blackout_s"].value
    assert pause is not None
    assert blackout is not None
    assert SILENT_S < pause < blackout + 0.1
