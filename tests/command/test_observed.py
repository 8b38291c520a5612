"""A machine at an address that a command moves: a run as every other, whatever becomes of the command."""

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

import pytest
from commandline import migrascope
from loopback import Site, listening
from observedrun import PROGRESS, one_trial, plan_for, shell, trial_of

from migrascope.analysis.run import analyse
from migrascope.metrics.trial import examine
from migrascope.model.schedule import schedule
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import parse, text_of
from migrascope.study.runs.run import execute
from migrascope.trial import observed


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, list[int]]:
    """A run whose command closes the port for a while in its only trial, and the stamps around closing and opening."""
    folder = tmp_path_factory.mktemp("moved")
    server, stamps = listening(), list[int]()
    port = server.getsockname()[1]

    def close() -> None:
        nonlocal server
        while not (folder / "moves").exists():
            time.sleep(0.005)
        stamps.append(time.monotonic_ns())
        server.close()
        stamps.append(time.monotonic_ns())
        time.sleep(0.5)
        stamps.append(time.monotonic_ns())
        server = listening(port)
        stamps.append(time.monotonic_ns())
        (folder / "moved").touch()

    thread = threading.Thread(target=close)
    thread.start()
    waits = f"echo moving; touch {folder}/moves; while [ ! -e {folder}/moved ]; do sleep 0.05; done; printf done"
    plan = plan_for(port, shell(waits), clock_port=port, clock_rate=50)
    run = asyncio.run(execute(plan, folder / "runs", None, PROGRESS))
    thread.join()
    server.close()
    return run, stamps


def test_what_the_command_did_is_measured(moved: tuple[RunFolder, list[int]]) -> None:
    run, stamps = moved
    (recording,) = run.recordings()
    assert (recording.trial.status, recording.trial.reason) == ("ok", None)
    found = examine(recording).metrics
    low, high = found["network_blackout_low_s"].value, found["network_blackout_high_s"].value
    assert low is not None
    assert high is not None
    assert low <= (stamps[3] - stamps[0]) / 1e9
    assert (stamps[2] - stamps[1]) / 1e9 <= high
    took = found["migration_time_s"].value
    assert took is not None
    assert took >= (stamps[2] - stamps[1]) / 1e9


def test_what_it_said_is_stamped(moved: tuple[RunFolder, list[int]]) -> None:
    run, stamps = moved
    (recording,) = run.recordings()
    events = [event for event in recording.events if event.name == "command"]
    assert [event.data["what"] for event in events] == ["start", "output", "output", "end"]
    assert [event.data.get("line") for event in events[1:3]] == ["moving", "done"]
    assert events[-1].data["exit"] == 0
    assert stamps[3] <= events[-1].mono_ns


def test_what_nobody_can_know_has_a_reason(moved: tuple[RunFolder, list[int]]) -> None:
    (recording,) = moved[0].recordings()
    for key in ("vm_pause_s", "reported_downtime_s", "rounds", "data_transferred_bytes", "http_new_blackout_s"):
        found = examine(recording).metrics[key]
        assert found.value is None
        assert found.reason


def test_the_guest_s_clock_is_not_compared_over_a_connection_that_was_reset(moved: tuple[RunFolder, list[int]]) -> None:
    (recording,) = moved[0].recordings()
    found = examine(recording).metrics["guest_pause_from_outside_s"]
    assert found.value is None
    refused = recording.trial.facts.get("peer_clock")
    assert found.reason == (refused or "the connection was reset: the guest was started anew, or its service was")
    assert bool(recording.table("peer_clock").height) != bool(refused)


def test_it_is_a_run_as_every_other(moved: tuple[RunFolder, list[int]], tmp_path: Path) -> None:
    run = str(moved[0].path)
    shown = migrascope("show", run, folder=tmp_path)
    assert shown.code == 0
    assert shown.stdout.startswith("vm, moved by sh · observed from ")
    assert "data against" not in shown.stdout
    assert "downtime limit of" not in shown.stdout
    (tmp_path / "t.toml").write_text('[thresholds]\nnetwork_blackout_s = { most = "1h" }\n')
    for verb in (["report", run], ["compare", run, run], ["export", run], ["watch", run]):
        ended = migrascope(*verb, folder=tmp_path)
        assert ended.code == 0, ended.stderr
    assert "a command moves it" in migrascope("watch", run, folder=tmp_path).stdout
    assert analyse(moved[0]).cells[0].failed == 0


def test_its_plan_is_read_back_and_makes_the_same_trials(moved: tuple[RunFolder, list[int]]) -> None:
    plan = parse((moved[0].path / "plan.toml").read_text(), "plan.toml")
    assert text_of(plan) == (moved[0].path / "plan.toml").read_text()
    assert [spec.factors.policy for spec in schedule(plan)] == ["command"]


def test_a_service_that_stays_away_is_said(tmp_path: Path) -> None:
    server = listening()
    plan = plan_for(server.getsockname()[1], shell("echo gone; sleep 1"))
    plan = plan.model_copy(update={"windows": plan.windows.model_copy(update={"limit": 1.0})})
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if text == "command: gone":
            server.close()

    recording = asyncio.run(one_trial(tmp_path, plan, say))
    assert recording.trial.status == "failed"
    assert str(recording.trial.reason).startswith("the service did not recover: ")


def test_before_a_steady_state_no_command_is_run(tmp_path: Path) -> None:
    plan = plan_for(1, shell(f"touch {tmp_path}/ran"))
    plan = plan.model_copy(update={"windows": plan.windows.model_copy(update={"steady_limit": 0.5})})
    recording = trial_of(tmp_path / "runs", plan)
    assert recording.trial.status == "failed"
    assert "not steady in 0.5 s: probes: 0 % of probes answered; the command was not run" in str(recording.trial.reason)
    assert not (tmp_path / "ran").exists()


def test_what_prepares_runs_before_each_trial_and_may_fail(port: int, tmp_path: Path) -> None:
    prepare = f"echo x >> {tmp_path}/prepared; [ $(wc -l < {tmp_path}/prepared) = 1 ]"
    run = asyncio.run(
        execute(plan_for(port, shell("true"), blocks=2, prepare=prepare), tmp_path / "runs", None, PROGRESS)
    )
    first, second = run.recordings()
    assert first.trial.status == "ok"
    assert str(second.trial.reason).startswith("prepare failed with 1")


def test_visits_alone_are_enough(site: Site, tmp_path: Path) -> None:
    plan = plan_for(0, shell("true"), way="none", url=f"http://127.0.0.1:{site.server_port}/page")
    visitors = plan.visitors.model_copy(update={"new_rate": 10.0, "kept_rate": 10.0})
    recording = trial_of(tmp_path, plan.model_copy(update={"visitors": visitors}))
    assert (recording.trial.status, recording.trial.reason) == ("ok", None)
    found = examine(recording).metrics
    assert recording.table("visit").height > 0
    assert found["network_blackout_s"].reason
    assert found["http_new_failed"].value == 0


def test_a_boot_id_is_asked_for_beside_a_command(site: Site, port: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{site.server_port}/"
    recording = trial_of(tmp_path, plan_for(port, shell("sleep 1.5"), boot_url=url))
    assert recording.trial.status == "ok"
    assert set(recording.table("boot")["boot_id"]) == {"hello"}
    assert list(recording.table("neighbour")["how"]) == ["unseen"]


def test_the_signs_of_a_trial_are_in_what_is_shown_of_its_run(
    site: Site, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{site.server_port}/"
    monkeypatch.setattr(observed, "refusal", lambda _: "no right to see segments")
    plan = plan_for(port, shell("sleep 1.5"), boot_url=url)
    run = asyncio.run(execute(plan, tmp_path / "runs", None, PROGRESS))
    summary = analyse(run)
    (finding,) = [finding for finding in summary.findings if finding.topic == "signs"]
    assert finding.label == "shown"
    assert finding.text == (
        "From outside: no sign that it moved in one trial. trial 1: it has not been started anew (hello)."
    )
    told = json.loads(migrascope("show", "--json", str(run.path), folder=tmp_path).stdout)
    assert next(item for item in told["findings"] if item["topic"] == "signs")["evidence"]["trials"]["1"] == {
        "verdict": "no sign",
        "why": "it has not been started anew (hello)",
        "connection_kept": None,
        "signs": [{"kind": "same-boot", "at_s": finding.evidence["trials"]["1"]["signs"][0]["at_s"], "note": "hello"}],
    }
    assert "From outside: no sign that it moved" in migrascope("show", str(run.path), folder=tmp_path).stdout
    migrascope("report", str(run.path), folder=tmp_path)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "no sign<small>it has not been started anew (hello)</small>" in page


@pytest.mark.usefixtures("_short_windows")
def test_from_the_command_line(port: int, tmp_path: Path) -> None:
    ended = migrascope(
        "observe", "127.0.0.1", "--port", str(port), "--", sys.executable, "-c", "print('moved')", folder=tmp_path
    )
    assert ended.code == 0, ended.stderr
    assert "sends, while a trial lasts, 50 TCP handshakes a second" in ended.stderr
    assert "report.html" in ended.stdout
