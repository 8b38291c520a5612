"""The plans of stress and failure as they are documented, whole; each prints its tables, which documents quote."""

from collections import Counter
from pathlib import Path

import pytest

import aim
from common import machine
from kept import SOAK, Kept
from lab.machine import migrascope
from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.model.disturbance import NONE
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import load

pytestmark = [pytest.mark.lab, pytest.mark.soak]
EXAMPLES = Path(__file__).parents[2] / "examples"
HOUR_S = 3600.0


def run(name: str) -> tuple[RunFolder, Summary, str]:
    """The run of an example, or of a built-in plan, in as many goes as it takes, and what the command printed."""
    runs = SOAK / name
    begun = sorted(runs.glob("2*"))
    example = EXAMPLES / f"{name}.toml"
    words = ["--resume", str(begun[-1])] if begun else [str(example) if example.exists() else name]
    done = migrascope("run", *words, "--runs", str(runs), timeout_s=6 * HOUR_S)
    assert done.returncode in (0, 1), done.stderr
    folder = RunFolder(runs / "latest")
    return folder, analyse(folder), done.stdout


def seconds(folder: RunFolder) -> float:
    """How long its trials took together."""
    spans = [[event.mono_ns for event in recording.events] for recording in folder.recordings()]
    return sum(max(span) - min(span) for span in spans) / 1e9


def by_disturbance(summary: Summary) -> dict[str, list[TrialResult]]:
    found: dict[str, list[TrialResult]] = {}
    for trial in summary.trials:
        found.setdefault(trial.facts.factors.disturbance, []).append(trial)
    return found


def test_failures(kept: Kept) -> None:
    """Each failure at each phase, three times, in an hour; what physics makes certain is so."""
    folder, summary, printed = run("failures")
    trials = by_disturbance(summary)
    names = set(load(str(EXAMPLES / "failures.toml")).axes.disturbance)
    assert {name: len(found) for name, found in trials.items()} == dict.fromkeys(names, 3)
    took = seconds(folder)
    assert took < HOUR_S
    for name, found in trials.items():
        verdicts = {trial.judgement.verdict for trial in found} - {"unknown"}
        assert not verdicts & {"two copies", "data lost"}, name
        if name.startswith("kill-source") and name != "kill-source-switchover":
            assert verdicts <= {"guest lost"}, name
        harmless = name.startswith(("kill-destination", "no-memory")) and not name.endswith("switchover")
        if harmless or name == NONE or name.startswith(("abort", "storage")):
            assert verdicts <= {"intact", "service lost"}, name
    late = aim.table(aim.lateness([folder]))
    head = machine(folder.recordings()[0].trial.facts)
    kept.write(f"{head}\n{len(summary.trials)} trials in {took / 60:.0f} min\n{printed}\n{late}")
    assert late.endswith("met"), late


def test_failures_of_libvirt(kept: Kept) -> None:
    """libvirt killed, hanging or away, and a host off, at each phase; nothing runs twice where the switchover has not
    come."""
    folder, summary, printed = run("failures-libvirt")
    for name, found in by_disturbance(summary).items():
        assert len(found) == 3, name
        verdicts = {trial.judgement.verdict for trial in found}
        assert "data lost" not in verdicts, name
        if name == NONE or name.endswith("first-copy"):
            assert "two copies" not in verdicts, name
    kept.write(f"{machine(folder.recordings()[0].trial.facts)}\n{printed}")


def test_handover(kept: Kept) -> None:
    """Aborted when all is sent, a destination that runs by itself does so beside the source; one that waits for a word
    never does."""
    folder, summary, printed = run("handover")
    trials = by_disturbance(summary)
    found: dict[str, list[TrialResult]] = {}
    for trial in trials["aborted"]:
        found.setdefault(trial.facts.factors.handover, []).append(trial)
    assert {handover: len(several) for handover, several in found.items()} == {"qemu": 5, "managed": 5}
    copies = {
        name: [trial.judgement.verdict for trial in several].count("two copies") for name, several in found.items()
    }
    assert copies["managed"] == 0
    assert copies["qemu"] > 0
    assert {trial.facts.status for trial in trials[NONE]} == {"ok"}
    assert "two copies" not in {trial.judgement.verdict for trial in trials[NONE]}
    kept.write(f"{machine(folder.recordings()[0].trial.facts)}\n{printed}")


def test_network(kept: Kept) -> None:
    """What each network costs, and that nothing is lost on any of them."""
    folder, summary, printed = run("network")
    networks = set(load("network").axes.network)
    counted = Counter(trial.facts.factors.network for trial in summary.trials)
    assert counted == dict.fromkeys(networks, 6)
    assert {trial.judgement.verdict for trial in summary.trials} <= {"intact", "service lost", "unknown"}
    assert any(finding.topic == "network" for finding in summary.findings)
    kept.write(f"{machine(folder.recordings()[0].trial.facts)}\n{printed}")


def test_failures_of_ovn(kept: Kept) -> None:
    """Whatever of OVN fails, nothing runs twice and nothing is lost."""
    folder, summary, printed = run("failures-network")
    assert {trial.judgement.verdict for trial in summary.trials}.isdisjoint({"two copies", "data lost", "guest lost"})
    kept.write(f"{machine(folder.recordings()[0].trial.facts)}\n{printed}")


def test_a_guest_that_is_not_announced(kept: Kept) -> None:
    """It is found again by what it sends, over either family, and nothing is lost."""
    folder, summary, printed = run("families")
    counted = Counter(trial.facts.factors.disturbance for trial in summary.trials)
    assert counted == {NONE: 6, "unannounced": 6}
    assert {trial.judgement.verdict for trial in summary.trials} == {"intact"}
    kept.write(f"{machine(folder.recordings()[0].trial.facts)}\n{printed}")


def test_how_late_a_disturbance_takes_effect(kept: Kept) -> None:
    folder = aim.measured()
    late = aim.table(aim.lateness([folder]))
    assert late.endswith("met"), late
    kept.write(f"{machine(folder.recordings()[0].trial.facts)}\n{late}")


def test_stress(kept: Kept) -> None:
    """Each dose six times beside the undisturbed baseline, so that each difference has its interval."""
    folder, summary, printed = run("stress")
    counted = Counter(trial.facts.factors.disturbance for trial in summary.trials)
    assert set(counted.values()) == {6}
    lost = [trial.judgement.text for trial in summary.trials if trial.judgement.verdict in ("two copies", "data lost")]
    assert lost == []
    head = machine(folder.recordings()[0].trial.facts)
    kept.write(f"{head}\n{len(summary.trials)} trials in {seconds(folder) / 60:.0f} min\n{printed}")


def test_policies_under_failure(kept: Kept) -> None:
    """Pre-copy loses nothing where the link fails before its switchover; post-copy is recovered where it is told to."""
    folder, summary, printed = run("policies-under-failure")
    for trial in summary.trials:
        factors, verdict = trial.facts.factors, trial.judgement.verdict
        assert verdict not in ("two copies", "data lost"), trial.judgement.text
        if factors.policy == "pre-copy" and factors.disturbance in (NONE, "first-copy-5"):
            assert verdict != "guest lost", trial.judgement.text
    told = [trial.facts.facts for trial in summary.trials if trial.facts.status == "ok"]
    recovered = [facts["rescue"]["operator"] for facts in told if "rescue" in facts]
    assert any("migrate-recover" in step for steps in recovered for step in steps)
    kept.write(f"{machine(folder.recordings()[0].trial.facts)}\n{printed}")
