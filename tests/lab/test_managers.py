"""Managers that change a migration while it runs, each once and end to end; their rules are unit tests."""

from pathlib import Path
from typing import Any

import pytest

from lab.machine import only_trial
from migrascope.metrics.trial import measure
from migrascope.store.recording import Recording

pytestmark = pytest.mark.lab
PLAN = """
name = "manager"
blocks = 1
[lab]
kind = "{lab}"
[axes]
scenario = ["none"]
policy = ["{name}"]
memory = ["512MiB"]
link = ["500mbit"]
downtime_limit = ["500ms"]
write_rate = ["20MB/s"]
working_set = ["64MiB"]
[policies.nova-fast]
nova = {{ steps = 3, delay = "3s" }}
[policies.advised-post-copy]
advised = {{ turn = "post-copy-preempt" }}
[windows]
before = "2s"
limit = "60s"
boot_limit = "3min"
steady_limit = "3min"
[probes]
dirty = false
[visitors]
new_rate = 5
kept_rate = 5
viewers = 0
"""
FIRST_MS = {"advised": 100, "advised-post-copy": 100, "nova-fast": 166, "ovirt": 100, "proxmox": 100}
"""The limit with which each begins: of Nova a third of the axis's."""
MOST_MS = {"advised": 435, "advised-post-copy": 435, "nova-fast": 500, "ovirt": 500}
"""The longest that each may set: ours leaves 65 ms of what is borne for the guest's start. Proxmox has none."""


def limits_ms(recording: Recording) -> list[float]:
    """As they were set while the migration ran, in order."""
    events: list[dict[str, Any]] = [
        event.data for event in recording.events if event.name == "controller" and "limit_s" in event.data
    ]
    return [1000 * event["limit_s"] for event in events]


@pytest.mark.soak
@pytest.mark.parametrize("lab", ["qemu", "libvirt"])
@pytest.mark.parametrize("name", FIRST_MS)
def test_a_manager_begins_with_its_limit_and_only_raises_it(name: str, lab: str, tmp_path: Path) -> None:
    recording = only_trial(tmp_path, PLAN.format(name=name, lab=lab))
    trial = recording.trial
    assert {check.verdict for check in trial.proof.values()} == {"pass"}
    assert trial.settings[trial.source]["parameters"]["downtime-limit"] == FIRST_MS[name]
    found = [FIRST_MS[name], *limits_ms(recording)]
    assert found == sorted(found)
    assert found[-1] <= MOST_MS.get(name, float("inf")) + 1
    pause = measure(recording)["vm_pause_s"]
    assert pause.value, pause.reason
