"""One disturbance of each kind of ability, in a real trial: its stamps, the verdict, and that nothing is left."""

import pytest

from lab.machine import foreign, migrascope
from migrascope.metrics.verdict.judge import judge
from migrascope.metrics.verdict.recorded import evidence_of
from migrascope.model.disturbance import LATE_S
from migrascope.model.verdict import Judgement
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder

pytestmark = pytest.mark.lab
PLAN = """
name = "disturbed"
blocks = 1
[axes]
scenario = ["none"]
memory = ["512MiB"]
disturbance = ["cut", "kill", "abort", "memory", "never", "one-way"]
[windows]
before = "2s"
limit = "1min"
boot_limit = "3min"
steady_limit = "3min"
[visitors]
new_rate = 10
kept_rate = 10
viewers = 0
[[disturbance]]
name = "cut"
kind = "link-down"
target = "migration"
when = "first-copy"
duration = "2s"
[[disturbance]]
name = "one-way"
kind = "link-down"
target = "migration"
way = "from-source"
when = "round:2"
duration = "1s"
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
name = "never"
kind = "qemu-freeze"
target = "source"
when = "round:99"
duration = "1s"
[[disturbance]]
name = "memory"
kind = "guest-memory"
write_rate = "10MB/s"
working_set = "32MiB"
"""


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """A trial of each disturbance, by its name, in one run after which nothing of ours is on this machine."""
    folder = tmp_path_factory.mktemp("disturbed")
    path = folder / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    before = foreign()
    done = migrascope("run", str(path), "--runs", str(folder / "runs"), timeout_s=1500)
    assert done.returncode in (0, 1), done.stderr
    assert foreign() == before
    run = RunFolder(folder / "runs" / "latest")
    return {recording.trial.factors.disturbance: recording for recording in run.recordings()}


def judged(recording: Recording) -> Judgement:
    return judge(evidence_of(recording))


def row(recording: Recording) -> dict[str, int | str]:
    """The only row of the table."""
    (found,) = recording.table("disturbance").rows(named=True)
    return dict(found)


@pytest.mark.parametrize("name", ["cut", "kill", "abort", "one-way"])
def test_it_takes_effect_at_its_phase(trials: dict[str, Recording], name: str) -> None:
    found = row(trials[name])
    late = (int(found["effect_ns"]) - int(found["due_ns"])) / 1e9
    said = {one.witness: one for one in judged(trials[name]).statements}["disturbance"]
    assert late > 0
    assert said.verdict == ("intact" if late <= LATE_S["qemu"] else "unknown"), said.text


@pytest.mark.parametrize(("name", "seconds"), [("cut", 2.0), ("one-way", 1.0)])
def test_a_link_that_was_down_is_healed_and_the_guest_arrives(
    trials: dict[str, Recording], name: str, seconds: float
) -> None:
    trial, found = trials[name].trial, row(trials[name])
    assert (trial.status, trial.reason) == ("ok", None)
    assert (int(found["healed_ns"]) - int(found["effect_ns"])) / 1e9 == pytest.approx(seconds, abs=0.5)
    carried = [
        sent
        for at, sent in trials[name]
        .table("link")
        .filter(link="migration", node=trial.source)
        .select("mono_ns", "from_node_bytes")
        .rows()
        if int(found["effect_ns"]) + 10**8 < at < int(found["healed_ns"]) - 10**8
    ]
    assert len(carried) > 3
    assert carried[-1] - carried[0] < 10_000
    assert judged(trials[name]).verdict == "intact"


def test_a_destination_that_dies_loses_nothing(trials: dict[str, Recording]) -> None:
    trial = trials["kill"].trial
    assert trial.status == "failed"
    assert "SIGKILL" in (trial.reason or "")
    assert trial.proof["place"]["verdict"] == "pass"
    assert judged(trials["kill"]).verdict == "intact"


def test_an_abort_leaves_the_guest_on_its_source(trials: dict[str, Recording]) -> None:
    trial = trials["abort"].trial
    assert trial.status == "failed"
    assert "cancelled" in (trial.reason or "")
    assert trial.proof["place"]["verdict"] == "pass"
    assert trial.source in trial.proof["place"]["evidence"]
    assert judged(trials["abort"]).verdict == "intact"


def test_stress_in_the_guest_is_measured(trials: dict[str, Recording]) -> None:
    recording = trials["memory"]
    assert recording.trial.status == "ok"
    written = recording.table("stress").sort("answered_ns").filter(state="running")
    rate = (written["bytes"][-1] - written["bytes"][0]) / (written["guest_s"][-1] - written["guest_s"][0])
    assert rate == pytest.approx(10e6, rel=0.2)
    assert row(recording)["healed_ns"]


def test_one_whose_phase_never_came_is_unknown(trials: dict[str, Recording]) -> None:
    judgement = judged(trials["never"])
    assert trials["never"].trial.status == "ok"
    assert judgement.verdict == "unknown"
    assert "disturbance" in judgement.text
    assert row(trials["never"])["effect_ns"] == 0
