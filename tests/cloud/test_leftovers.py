"""What a killed run leaves in the cloud is found and removed; several instances migrate on the testbed."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from lab.cloud import Cloud
from lab.machine import COMMAND, json_of, migrascope, owned_by
from migrascope.store.runfolder import RunFolder

pytestmark = pytest.mark.lab
PLAN = """
name = "fleet"
blocks = 1
[lab]
kind = "openstack"
[cloud]
testbed = "{testbed}"
[axes]
scenario = ["none"]
memory = ["512MiB"]
[windows]
before = "3s"
[fleet]
count = [2]
how = "drain"
parallel = 2
"""
SERVERS = "print(json.dumps([one.name for one in cloud.compute.servers(all_projects=True)]))"


@pytest.fixture
def plan(cloud: Cloud, tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(testbed=cloud.testbed.name))
    return path


def test_what_a_killed_run_left_is_removed_and_nothing_else(cloud: Cloud, plan: Path, tmp_path: Path) -> None:
    argv = [*COMMAND, "run", str(plan), "--runs", str(tmp_path / "runs")]
    here = ("--testbed", cloud.testbed.name)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline, made = time.monotonic() + 300, list[str]()
        while not made:
            assert process.poll() is None
            assert time.monotonic() < deadline
            (run,) = owned_by(process.pid) or {""}
            made = [name for name in cloud.sdk(SERVERS) if run and name.startswith(run)]
        listed = json_of("clean", *here, "--list")
        assert run in listed["alive"]
        assert [item for item in listed["found"] if item["run"] == run] == []
        process.kill()
    found = json_of("clean", *here, "--list")["found"]
    assert {item["kind"] for item in found if item["run"] == run} >= {"server", "port", "volume", "security group"}
    cleaned = migrascope("clean", *here, "--json")
    told = json.loads(cleaned.stdout)
    assert (cleaned.returncode, told["failed"]) == (0, [])
    assert [item for item in json_of("clean", *here, "--list")["found"] if item["run"] == run] == []
    assert [name for name in cloud.sdk(SERVERS) if name.startswith(run)] == []
    assert migrascope("clean").returncode == 0


@pytest.mark.soak
def test_several_instances_are_drained(cloud: Cloud, plan: Path, tmp_path: Path) -> None:
    done = migrascope("run", str(plan), "--runs", str(tmp_path / "runs"), timeout_s=900)
    assert done.returncode == 0, done.stderr
    (cell,) = json_of("show", str(RunFolder(tmp_path / "runs" / "latest").path))["cells"]
    value = {key: metric["median"] for key, metric in cell["metrics"].items()}
    assert (value["fleet.migrated"], value["fleet.failed"]) == (2, 0)
    (recording,) = RunFolder(tmp_path / "runs" / "latest").recordings()
    assert recording.trial.settings["nova"]["max_concurrent"] == 1  # Nova's default
    assert value["fleet.at_once"] <= 1
    assert value["fleet.data_bytes"] > 2 * 50e6
    assert all(value[f"fleet.vm-{number}.blackout_s"] > 0 for number in (1, 2))
    assert value["fleet.total_s"] >= max(value[f"fleet.vm-{number}.migration_time_s"] for number in (1, 2))
