"""The original study on OpenStack, whole, and what observing it costs there."""

from pathlib import Path

import pytest

import observer_openstack
from common import run_plan
from kept import SOAK, Kept
from lab.cloud import Cloud
from lab.machine import migrascope
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import built_in

pytestmark = [pytest.mark.lab, pytest.mark.soak]
HOURS = 3600.0


def study(testbed: str) -> str:
    """The built-in plan `thesis`, on that testbed."""
    lab = f'[lab]\nkind = "openstack"\n\n[cloud]\ntestbed = "{testbed}"\n\n[axes]'
    return built_in()["thesis"].replace("[axes]", lab, 1)


def test_the_original_study(cloud: Cloud, kept: Kept, tmp_path: Path) -> None:
    plan, runs = tmp_path / "thesis.toml", SOAK / "thesis"
    plan.write_text(study(cloud.testbed.name))
    begun = (runs / "latest").exists()
    words = ["--resume", "latest"] if begun else [str(plan)]
    done = migrascope("run", *words, "--runs", str(runs), timeout_s=2 * HOURS)
    assert done.returncode in (0, 1), done.stderr
    trials = [recording.trial for recording in RunFolder(runs / "latest").recordings()]
    assert len(trials) == 18
    assert [(trial.number, trial.reason) for trial in trials if trial.status != "ok"] == []
    kept.write(done.stdout)


def test_what_observing_costs(cloud: Cloud, kept: Kept) -> None:
    run = run_plan(observer_openstack.cloud_plan(10, cloud.testbed.name))
    table = observer_openstack.table(run)
    kept.write(table)
    assert "missed" not in table
