"""The original study on OpenStack, whole, and what observing it costs there."""

from pathlib import Path

import pytest

import observer_openstack
from common import run_plan
from kept import SOAK, Kept
from lab.cloud import Cloud
from lab.machine import migrascope
from lab.test_run import KEYS
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.report.columns import COLUMNS
from migrascope.report.page.downtimes import downtimes
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import built_in

pytestmark = [pytest.mark.lab, pytest.mark.soak]
HOURS = 3600.0
TABLE = [column.key for column in COLUMNS]


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
    summary = analyse(RunFolder(runs / "latest"))
    assert len(summary.trials) == 34
    holds(summary)
    kept.write(done.stdout)


def holds(summary: Summary) -> None:
    """What the study must show: each trial carried out, measured on every layer, and its layers in agreement."""
    for trial in summary.trials:
        value = {key: measured.value for key, measured in trial.metrics.items()}
        absent = {key for key in TABLE if value[key] is None}
        told = (trial.facts.number, trial.facts.factors.scenario, trial.facts.reason)
        assert trial.facts.status == "ok", told
        assert absent == ({"player_stall_s"} if trial.facts.factors.scenario == "none" else set()), told
        assert value["data_transferred_bytes"] == pytest.approx(value["libvirt_transferred_bytes"], rel=0.03), told
        interval = 1 / trial.facts.plan["probes"]["echo_rate"]
        assert _number(value["network_blackout_s"]) >= _number(value["vm_pause_s"]) - interval, told
        assert [check.text for check in trial.checks if check.verdict == "fail"] == [], told
    for cell in summary.cells:
        absent = {key for key in KEYS if cell.metrics[key].median is None}
        assert absent == ({"player_stall_s"} if cell.factors.scenario == "none" else set()), cell.factors
        # libvirt hears of the stop and tells of the start later than QEMU: see docs/metrics/libvirt.md
        assert cell.metrics["libvirt_downtime_s"].n == cell.trials
    assert [row["name"] for row in downtimes(summary)][-1] == "libvirt − VM pause"


def _number(value: float | None) -> float:
    assert value is not None
    return value


def test_what_observing_costs(cloud: Cloud, kept: Kept) -> None:
    run = run_plan(observer_openstack.cloud_plan(10, cloud.testbed.name))
    table = observer_openstack.table(run)
    kept.write(table)
    assert "missed" not in table
