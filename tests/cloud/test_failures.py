"""One failure of each sort in a real trial on the testbed: it takes effect, is told, and the testbed is well again."""

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kept import SOAK, Kept
from lab.cloud import Cloud
from lab.machine import migrascope
from migrascope.lab.injectors import store_writer
from migrascope.lab.injectors.store_load import StoreLoad
from migrascope.lab.testbed.injectors.recovery import NAMESPACE, on_node
from migrascope.metrics.verdict.judge import judge
from migrascope.metrics.verdict.recorded import evidence_of
from migrascope.model.disturbance import LATE_S
from migrascope.model.units import parse_byte_rate, parse_size
from migrascope.model.verdict import Judgement
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.testbed.settings import CONTROLLER

pytestmark = pytest.mark.lab
HOURS = 3600.0
SERVERS = "print(json.dumps({one.id: one.name for one in cloud.compute.servers(all_projects=True)}))"
KILLED = """
ceph osd set norecover
ceph osd set nobackfill
echo left | rados --pool=volumes --namespace=migrascope put behind-0 -
"""
OURS_IN_CEPH = "rados --pool=volumes --namespace=migrascope ls; ceph osd dump | grep ^flags"
EXAMPLES = Path(__file__).parents[2] / "examples"
FIRST, MORE = ["abort"], ["behind", "cut", "nova-compute"]
PLAN = """
name = "failures"
blocks = 1
[lab]
kind = "openstack"
[cloud]
testbed = "{testbed}"
[axes]
scenario = ["none"]
memory = ["512MiB"]
disturbance = {disturbances}
[windows]
before = "2s"
limit = "3min"
boot_limit = "5min"
steady_limit = "3min"
[probes]
echo_rate = 100
[visitors]
new_rate = 5
kept_rate = 5
viewers = 0
[[disturbance]]
name = "cut"
kind = "link-down"
target = "migration"
when = "first-copy"
duration = "3s"
[[disturbance]]
name = "nova-compute"
kind = "service-kill"
target = "source"
service = "nova-compute"
when = "accepted"
[[disturbance]]
name = "behind"
kind = "ceph-recovery"
target = "destination"
working_set = "64MiB"
when = "first-copy"
duration = "15s"
[[disturbance]]
name = "abort"
kind = "abort"
when = "first-copy"
"""


@pytest.fixture(scope="module")
def trials(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """A trial of each disturbance, by its name."""
    return trials_of(cloud, tmp_path_factory.mktemp("failures"), FIRST)


@pytest.fixture(scope="module")
def more_trials(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """A trial of each other disturbance, in a run after one that was killed while Ceph was to recover."""
    cloud.run("sh", "-e", stdin=KILLED)
    return trials_of(cloud, tmp_path_factory.mktemp("more"), MORE)


def trials_of(cloud: Cloud, folder: Path, disturbances: list[str]) -> dict[str, Recording]:
    text = PLAN.format(testbed=cloud.testbed.name, disturbances=disturbances)
    for table in text.split("[[disturbance]]")[1:]:
        if not any(f'name = "{name}"' in table for name in disturbances):
            text = text.replace(f"[[disturbance]]{table}", "")
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    done = migrascope("run", str(folder / "plan.toml"), "--runs", str(folder / "runs"), timeout_s=2400)
    assert done.returncode in (0, 1, 4), done.stderr
    run = RunFolder(folder / "runs" / "latest")
    return {recording.trial.factors.disturbance: recording for recording in run.recordings()}


def judged(recording: Recording) -> Judgement:
    return judge(evidence_of(recording))


def row(recording: Recording) -> dict[str, Any]:
    """The only row of the table disturbance."""
    (found,) = recording.table("disturbance").rows(named=True)
    return dict(found)


@pytest.mark.parametrize("name", FIRST)
def test_it_takes_effect_and_the_lab_is_well_again(trials: dict[str, Recording], name: str) -> None:
    took_effect_and_is_well_again(trials, name)


@pytest.mark.soak
@pytest.mark.parametrize("name", MORE)
def test_so_do_the_others(more_trials: dict[str, Recording], name: str) -> None:
    took_effect_and_is_well_again(more_trials, name)


def took_effect_and_is_well_again(trials: dict[str, Recording], name: str) -> None:
    found, facts = row(trials[name]), trials[name].trial.facts
    assert found["due_ns"] < found["asked_ns"] < found["effect_ns"], found["note"]
    said = {statement.witness: statement for statement in judged(trials[name]).statements}["disturbance"]
    late_s = (found["effect_ns"] - found["due_ns"]) / 1e9
    assert said.verdict == ("intact" if late_s <= LATE_S["openstack"] else "unknown"), said.text
    assert facts["healing"]["lab"] in ("healed", "rebuilt"), facts["healing"]
    assert "Nova: " in facts["rescue"]["found"]


@pytest.mark.soak
def test_a_link_that_was_down_carries_nothing_and_loses_nothing(more_trials: dict[str, Recording]) -> None:
    recording = more_trials["cut"]
    trial, found = recording.trial, row(recording)
    assert (found["healed_ns"] - found["effect_ns"]) / 1e9 == pytest.approx(3.0, abs=1.0)
    sent = recording.table("link").filter(link="migration", node=trial.source)
    inside = [
        count
        for at, count in sent.select("mono_ns", "from_node_bytes").rows()
        if found["effect_ns"] + 2 * 10**8 < at < found["healed_ns"] - 2 * 10**8
    ]
    assert len(inside) > 3
    assert inside[-1] - inside[0] < 100_000
    assert judged(recording).verdict in ("intact", "service lost", "unknown")


def test_an_abort_is_answered_and_leaves_one_guest(trials: dict[str, Recording]) -> None:
    assert row(trials["abort"])["note"].startswith("Nova took it")
    trial = trials["abort"].trial
    assert "they differ" not in trial.proof["place"].evidence
    assert judged(trials["abort"]).verdict in ("intact", "service lost", "unknown")


@pytest.mark.soak
def test_ceph_recovers_all_that_was_lacking_and_nothing_is_lost(more_trials: dict[str, Recording]) -> None:
    trial, note = more_trials["behind"].trial, row(more_trials["behind"])["note"]
    found = re.fullmatch(r"(\w+) lacked (\d+) objects; (\S+ MB) recovered in \S+ m?s: all of it", note)
    assert found, note
    assert found[1] == trial.destination
    assert int(found[2]) >= 16
    assert parse_size(found[3]) >= 67e6
    assert judged(more_trials["behind"]).verdict in ("intact", "service lost", "unknown")


async def test_load_on_ceph_is_measured_and_leaves_nothing(cloud: Cloud, tmp_path: Path) -> None:
    words = ("rados", NAMESPACE, str(8 * 2**20), "320000")
    argv = on_node(cloud.testbed.node(CONTROLLER).namespace, Path(store_writer.__file__), *words)
    load = StoreLoad(argv, 320e3, tmp_path / "log")
    try:
        await load.arm()
        assert set(cloud.run("sh", stdin=OURS_IN_CEPH).split()[:2]) == {"load-0", "load-1"}
        await load.apply()
        await asyncio.sleep(3)
    finally:
        note = await load.heal()
    found = re.fullmatch(r"wrote \S+ .?B in \S+ s: (\S+ .?B/s) of 320 kB/s, slowest \S+ .?s", note or "")
    assert found, note
    assert 64e3 < parse_byte_rate(found[1]) < 320e3 * 1.2
    assert "load" not in cloud.run("sh", stdin=OURS_IN_CEPH)


def test_nothing_of_it_is_left(cloud: Cloud, trials: dict[str, Recording]) -> None:
    nothing_is_left(cloud)


@pytest.mark.soak
def test_nothing_of_the_others_is_left(cloud: Cloud, more_trials: dict[str, Recording]) -> None:
    nothing_is_left(cloud)


def nothing_is_left(cloud: Cloud) -> None:
    servers = cloud.sdk(SERVERS)
    assert [name for name in servers.values() if name.startswith("ms")] == []
    for node in cloud.testbed.nodes.values():
        argv = node.command(["virsh", "list", "--all", "--uuid"])
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
        assert set(done.stdout.split()) <= set(servers)
    state = cloud.state()
    assert set(state["services"].values()) == {"up"}
    assert set(state["agents"].values()) == {True}
    status = json.loads(migrascope("testbed", "status", "--json", "--name", cloud.testbed.name).stdout)
    assert (status["cut"], status["ceph"]["health"]) == ([], "HEALTH_OK")
    objects_and_flags = cloud.run("sh", stdin=OURS_IN_CEPH)
    assert objects_and_flags.startswith("flags ")
    assert "norecover" not in objects_and_flags
    assert "nobackfill" not in objects_and_flags


@pytest.mark.soak
@pytest.mark.parametrize(("name", "trials_of"), [("failures-openstack", 31), ("stress-openstack", 39)])
def test_the_examples(cloud: Cloud, kept: Kept, tmp_path: Path, name: str, trials_of: int) -> None:
    """The whole plan, in as many goes as it takes: a trial is ever carried out once."""
    plan, runs = tmp_path / f"{name}.toml", SOAK / name
    text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
    plan.write_text(text.replace("\n\n[axes]", f'\n\n[cloud]\ntestbed = "{cloud.testbed.name}"\n\n[axes]', 1))
    begun = sorted(runs.glob("2*"))
    words = ["--resume", begun[-1].name] if begun else [str(plan)]
    done = migrascope("run", *words, "--runs", str(runs), timeout_s=4 * HOURS)
    assert done.returncode in (0, 1), done.stderr
    recordings = RunFolder(runs / "latest").recordings()
    assert len(recordings) == trials_of
    disturbed = [recording for recording in recordings if recording.trial.factors.disturbance != "none"]
    assert [
        recording.trial.number
        for recording in disturbed
        if recording.trial.facts.get("healing", {}).get("lab") == "ill"
    ] == []
    kept.write(done.stdout)
