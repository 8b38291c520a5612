"""Each kind of disturbance that the plans of examples/ leave out, once, on the testbed."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from kept import SOAK, Kept
from lab.cloud import Cloud
from lab.machine import migrascope
from migrascope.model.kinds import KINDS
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import load

pytestmark = [pytest.mark.lab, pytest.mark.soak]
HOURS = 3600.0
EXAMPLES = Path(__file__).parents[2] / "examples"
REST: dict[str, dict[str, Any]] = {
    "second": {"kind": "second-migration", "when": "first-copy"},
    "force": {"kind": "force-complete", "when": "first-copy"},
    "freeze-source": {"kind": "qemu-freeze", "target": "source", "when": "first-copy", "duration": "5s"},
    "freeze-destination": {"kind": "qemu-freeze", "target": "destination", "when": "first-copy", "duration": "5s"},
    "one-way": {
        "kind": "link-down", "target": "migration", "way": "from-source", "when": "first-copy", "duration": "5s",
    },
    "way-back": {
        "kind": "link-down", "target": "migration", "way": "from-destination", "when": "first-copy", "duration": "5s",
    },
    "slow-storage": {"kind": "link-rate", "target": "storage", "rate": "50mbit", "when": "accepted", "duration": "20s"},
    "database": {
        "kind": "service-down", "target": "controller", "service": "database", "when": "first-copy", "duration": "10s",
    },
    "mon": {
        "kind": "service-down", "target": "controller", "service": "ceph-mon", "when": "first-copy", "duration": "10s",
    },
    "busy": {"kind": "host-cpu", "target": "destination", "workers": 2},
    "stream": {"kind": "guest-network", "rate": "20mbit"},
    "reader": {"kind": "guest-disk-read", "write_rate": "4MB/s", "working_set": "64MiB"},
    "off-destination": {"kind": "node-off", "target": "destination", "when": "first-copy", "duration": "20s"},
    "off-source": {"kind": "node-off", "target": "source", "when": "first-copy", "duration": "20s"},
}  # fmt: skip


def plan(testbed: str) -> str:
    return tomli_w.dumps(
        {
            "name": "every-kind",
            "blocks": 1,
            "lab": {"kind": "openstack"},
            "cloud": {"testbed": testbed},
            "axes": {"scenario": ["none"], "memory": ["512MiB"], "disturbance": list(REST)},
            "windows": {"before": "3s", "limit": "90s", "boot_limit": "5min", "steady_limit": "3min"},
            "visitors": {"new_rate": 5, "kept_rate": 5, "viewers": 0},
            "verdict": {"allow": "two copies"},
            "disturbance": [{"name": name, **table} for name, table in REST.items()],
        }
    )


def test_the_rest(cloud: Cloud, kept: Kept, tmp_path: Path) -> None:
    """With the plans of examples/ all that the lab has: it takes effect and is healed, whatever the guest does."""
    shown = [load(str(EXAMPLES / f"{name}-openstack.toml")) for name in ("failures", "stress")]
    known = {disturbance.kind for plan in shown for disturbance in plan.disturbances().values()} | {
        t["kind"] for t in REST.values()
    }
    elsewhere = {"storage-load", "ceph-recovery"}  # in test_failures.py
    assert known | elsewhere >= {name for name, kind in KINDS.items() if "openstack" in kind.labs}
    text, runs = tmp_path / "plan.toml", SOAK / "every-kind"
    text.write_text(plan(cloud.testbed.name), encoding="utf-8")
    begun = sorted(runs.glob("2*"))
    words = ["--resume", str(begun[-1])] if begun else [str(text)]
    done = migrascope("run", *words, "--runs", str(runs), timeout_s=4 * HOURS)
    assert done.returncode in (0, 1), done.stderr
    trials = {recording.trial.factors.disturbance: recording for recording in RunFolder(runs / "latest").recordings()}
    assert set(trials) == set(REST)
    for name, trial in trials.items():
        (row,) = trial.table("disturbance").rows(named=True)
        assert row["effect_ns"] > row["due_ns"] > 0, f"{name}: {row['note']}"
        assert trial.trial.facts["healing"]["lab"] in ("healed", "rebuilt"), name
    kept.write(done.stdout)
