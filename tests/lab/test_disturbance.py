"""Disturbances of several abilities, each in a real trial: its stamps, the verdict, and that nothing is left. The
others are in the soak tier."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from lab.machine import COMMAND, GONE, foreign, owned_by, traces
from migrascope.metrics.verdict.judge import judge
from migrascope.metrics.verdict.recorded import evidence_of
from migrascope.model.disturbance import LATE_S
from migrascope.model.units import parse_byte_rate, parse_size
from migrascope.model.verdict import Judgement
from migrascope.node.link import Link
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder

pytestmark = pytest.mark.lab
PLAN = """
name = "disturbed"
blocks = 1
[axes]
scenario = ["none"]
memory = ["512MiB"]
disturbance = DISTURBANCES
[windows]
before = "2s"
limit = "1min"
boot_limit = "3min"
steady_limit = "3min"
[probes]
dirty = false
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
duration = "2s"
[[disturbance]]
name = "loss"
kind = "link-loss"
target = "migration"
way = "from-source"
loss = "1%"
when = "first-copy"
duration = "1s"
[[disturbance]]
name = "store"
kind = "storage-load"
target = "storage"
write_rate = "640kB/s"
working_set = "8MiB"
when = "window"
duration = "2s"
[[disturbance]]
name = "no-space"
kind = "no-space"
target = "storage"
when = "first-copy"
duration = "2s"
[[disturbance]]
name = "kill"
kind = "qemu-kill"
target = "destination"
when = "first-copy"
[[disturbance]]
name = "abort"
kind = "abort"
when = "first-copy"
[[disturbance]]
name = "memory"
kind = "guest-memory"
write_rate = "4MB/s"
working_set = "32MiB"
"""


class Others:
    """A network with a bridge, a rate limit and two programs that are not ours, one of them with QEMU's name."""

    def __init__(self) -> None:
        self.space = Namespace(f"others-{os.getpid()}")
        self.space.create()
        self._programs = []
        try:
            link = Link("migration", self.space)
            link.create("10.0.3.1/24")
            for name in ("sleep", "qemu-system-x86_64"):
                words = ["bash", "-c", f"exec -a {name} sleep infinity"]
                self._programs.append(subprocess.Popen(Where(self.space).command(words)))
        except BaseException:
            self.end()
            raise

    def seen(self) -> dict[str, object]:
        """Its interfaces, addresses and queues, this machine's links, mounts and cgroups, and the programs that run."""

        def look(routes: IPRoute) -> list[object]:
            links = [(link.get("ifname"), link.get("state"), link.get("address")) for link in routes.get_links()]
            queues = [(queue.get("index"), queue.get("kind")) for queue in routes.get_qdiscs()]
            return [links, queues, [item.get("address") for item in routes.get_addr()]]

        alive = [program.args for program in self._programs if program.poll() is None]
        return {"network": self.space.configure(look), "programs": alive, **foreign()}

    def end(self) -> None:
        for program in self._programs:
            program.kill()
            program.wait()
        self.space.delete()


@pytest.fixture(scope="module")
def others() -> Iterator[Others]:
    made = Others()
    yield made
    made.end()


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory, others: Others) -> dict[str, Recording]:
    return trials_of(tmp_path_factory.mktemp("disturbed"), others, ["cut", "kill", "abort", "memory", "no-space"])


@pytest.fixture(scope="module")
def more_trials(tmp_path_factory: pytest.TempPathFactory, others: Others) -> dict[str, Recording]:
    return trials_of(tmp_path_factory.mktemp("disturbed"), others, ["loss", "store"])


def trials_of(folder: Path, others: Others, disturbances: list[str]) -> dict[str, Recording]:
    """A trial of each disturbance, by its name, in one run that changes nothing of others' and leaves nothing."""
    path = folder / "plan.toml"
    path.write_text(PLAN.replace("DISTURBANCES", json.dumps(disturbances)), encoding="utf-8")
    before = others.seen()
    labs: set[str] = set()
    with (folder / "log").open("wb") as log:
        run = subprocess.Popen([*COMMAND, "run", path, "--runs", folder / "runs"], stdout=log, stderr=log)
        while run.poll() is None:
            labs |= owned_by(run.pid)
            time.sleep(0.1)
    assert run.returncode in (0, 1), (folder / "log").read_text()
    assert others.seen() == before
    assert labs
    assert [traces(lab) for lab in labs] == [GONE]
    recordings = RunFolder(folder / "runs" / "latest").recordings()
    return {recording.trial.factors.disturbance: recording for recording in recordings}


def judged(recording: Recording) -> Judgement:
    return judge(evidence_of(recording))


def row(recording: Recording) -> dict[str, int | str]:
    """The only row of the table."""
    (found,) = recording.table("disturbance").rows(named=True)
    return dict(found)


def in_time(recording: Recording) -> bool:
    found = row(recording)
    return int(found["effect_ns"]) - int(found["due_ns"]) <= LATE_S["qemu"] * 1e9


def assert_no_harm(recording: Recording) -> None:
    """Every witness of what was lost says intact, and so does the verdict, unless the disturbance itself came late."""
    judgement = judged(recording)
    said = {statement.verdict for statement in judgement.statements if statement.witness != "disturbance"}
    assert said == {"intact"}, judgement.text
    assert judgement.verdict == ("intact" if in_time(recording) else "unknown"), judgement.text


@pytest.mark.parametrize("name", ["cut", "kill", "abort", "no-space"])
def test_it_takes_effect_at_its_phase(trials: dict[str, Recording], name: str) -> None:
    found = row(trials[name])
    said = {statement.witness: statement for statement in judged(trials[name]).statements}["disturbance"]
    assert int(found["effect_ns"]) > int(found["due_ns"])
    assert said.verdict == ("intact" if in_time(trials[name]) else "unknown"), said.text


def test_a_link_that_was_down_is_healed_and_the_guest_arrives(trials: dict[str, Recording]) -> None:
    trial, found = trials["cut"].trial, row(trials["cut"])
    assert (trial.status, trial.reason) == ("ok", None)
    assert (int(found["healed_ns"]) - int(found["effect_ns"])) / 1e9 == pytest.approx(2, abs=0.5)
    carried = [
        sent
        for at, sent in trials["cut"]
        .table("link")
        .filter(link="migration", node=trial.source)
        .select("mono_ns", "from_node_bytes")
        .rows()
        if int(found["effect_ns"]) + 10**8 < at < int(found["healed_ns"]) - 10**8
    ]
    assert len(carried) > 3
    assert carried[-1] - carried[0] < 10_000
    assert_no_harm(trials["cut"])


@pytest.mark.soak
def test_loss_and_a_busy_store_do_no_harm(more_trials: dict[str, Recording]) -> None:
    for name in ("loss", "store"):
        assert more_trials[name].trial.status == "ok", more_trials[name].trial.reason
        assert_no_harm(more_trials[name])
        assert row(more_trials[name])["healed_ns"]


def test_a_destination_that_dies_loses_nothing(trials: dict[str, Recording]) -> None:
    trial = trials["kill"].trial
    assert trial.status == "failed"
    assert "SIGKILL" in (trial.reason or "")
    assert trial.proof["place"].verdict == "pass"
    assert trial.facts["rescue"]["operator"] == []
    assert_no_harm(trials["kill"])


def test_a_guest_whose_store_is_full_waits_for_an_operator(trials: dict[str, Recording]) -> None:
    trial, judgement = trials["no-space"].trial, judged(trials["no-space"])
    (step,) = trial.facts["rescue"]["operator"]
    assert step in (f"cont on {trial.source}", f"cont on {trial.destination}")
    assert trial.facts["rescue"]["answers_s"] is not None
    lost = {statement.witness for statement in judgement.statements if statement.verdict not in ("intact", "unknown")}
    assert lost <= {"website"}, judgement.text


def test_an_abort_leaves_the_guest_on_its_source(trials: dict[str, Recording]) -> None:
    trial = trials["abort"].trial
    assert trial.status == "failed"
    assert "cancelled" in (trial.reason or "")
    assert trial.proof["place"].verdict == "pass"
    assert trial.source in trial.proof["place"].evidence
    assert_no_harm(trials["abort"])


@pytest.mark.soak
def test_load_on_the_store_is_measured(more_trials: dict[str, Recording]) -> None:
    """A disk that takes three such blocks a second does; more than it is told the writer never writes."""
    note = str(row(more_trials["store"])["note"])
    found = re.fullmatch(r"wrote (\S+ .?B) in \S+ s: (\S+ .?B/s) of 640 kB/s, slowest \S+ .?s", note)
    assert found, note
    written, reached = parse_size(found[1]), parse_byte_rate(found[2])
    assert 200e3 < reached < 640e3 * 1.1
    assert written > 2 * 200e3


def test_stress_in_the_guest_is_measured(trials: dict[str, Recording]) -> None:
    recording = trials["memory"]
    assert recording.trial.status == "ok"
    written = recording.table("stress").sort("answered_ns").filter(state="running")
    rate = (written["bytes"][-1] - written["bytes"][0]) / (written["guest_s"][-1] - written["guest_s"][0])
    assert rate == pytest.approx(4e6, rel=0.2)
    assert row(recording)["healed_ns"]
