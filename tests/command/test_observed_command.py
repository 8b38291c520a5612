"""The command that moves a machine: it fails, hangs, goes on after its end, or is interrupted."""

import asyncio
import signal
import time
from pathlib import Path

import pytest
from loopback import listening
from observedrun import one_trial, plan_for, shell, trial_of

from migrascope.metrics.trial import examine
from migrascope.model.schedule import schedule
from migrascope.node.process import Process
from migrascope.node.wait import wait_until
from migrascope.store.recording import TrialFacts
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import text_of
from migrascope.trial import observed
from migrascope.trial.observed import INTERRUPTED, ObservedTrials


def test_a_command_that_fails_is_a_failed_trial_with_its_last_words(port: int, tmp_path: Path) -> None:
    recording = trial_of(tmp_path, plan_for(port, shell("echo begins; echo no such host >&2; exit 3")))
    assert recording.trial.status == "failed"
    assert str(recording.trial.reason).startswith("the command ended with 3: no such host\n  command: /bin/sh")
    assert "after" in [event.data.get("phase") for event in recording.events]


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observed, "_ENDS_S", 0.5)
    line = f"trap '' INT; sleep 1000 & echo $! > {tmp_path}/pid; wait; wait"
    recording = trial_of(tmp_path / "runs", plan_for(port, shell(line), command_limit="500ms"))
    assert recording.trial.reason == "the command was still running after 0.5 s and was ended"
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)


async def test_what_is_interrupted_is_kept_and_nothing_follows(port: int, tmp_path: Path) -> None:
    plan = plan_for(port, shell("echo runs; sleep 1000"), blocks=2)
    run = RunFolder.create(tmp_path / "runs", text_of(plan), {})
    opened, runs = run.open_trial(1), asyncio.Event()
    trials = ObservedTrials(plan, tmp_path, lambda text: runs.set() if text == "command: runs" else None)
    task = asyncio.create_task(trials.run(schedule(plan)[0], opened))
    async with asyncio.timeout(60):
        await runs.wait()
        task.cancel()
        facts: TrialFacts = await task
    recording = run.seal_trial(opened, facts)
    assert (recording.trial.status, recording.trial.reason) == ("failed", INTERRUPTED)
    assert recording.table("echo_reply").height > 0
    with pytest.raises(asyncio.CancelledError):
        await trials.run(schedule(plan)[1], run.open_trial(2))


async def test_a_second_interrupt_leaves_no_command_behind(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, runs, send_all = asyncio.Event(), asyncio.Event(), Process.send_all

    def sending(process: Process, number: signal.Signals) -> None:
        send_all(process, number)
        asked.set()

    monkeypatch.setattr(Process, "send_all", sending)
    plan = plan_for(port, shell("trap '' INT; echo $$; while :; do sleep 1; done"))
    pid: list[int] = []

    def say(text: str) -> None:
        if text.startswith("command: "):
            pid.append(int(text.removeprefix("command: ")))
            runs.set()

    run = RunFolder.create(tmp_path / "runs", text_of(plan), {})
    opened = run.open_trial(1)
    task = asyncio.create_task(ObservedTrials(plan, tmp_path, say).run(schedule(plan)[0], opened))
    async with asyncio.timeout(60):
        await runs.wait()
        task.cancel()
        await asked.wait()
        task.cancel()
        facts: TrialFacts = await task

        async def gone() -> bool:
            return not Path(f"/proc/{pid[0]}").exists()

        await wait_until(gone, 60, "the command is gone")
    recording = run.seal_trial(opened, facts)
    assert (recording.trial.status, recording.trial.reason) == ("failed", INTERRUPTED)
    assert recording.table("echo_reply").height > 0


def test_an_asynchronous_command_is_over_when_it_is_quiet_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observed, "QUIET_S", 1.0)
    server = listening()
    port = server.getsockname()[1]
    closed: list[int] = []

    def say(text: str) -> None:
        nonlocal server
        if text == "the outage" and not closed:
            server.close()
            closed.append(time.monotonic_ns())
            time.sleep(0.4)
            server = listening(port)

    recording = asyncio.run(one_trial(tmp_path, plan_for(port, shell("true"), until_quiet=True), say))
    server.close()
    assert (recording.trial.status, recording.trial.reason) == ("ok", None)
    (done,) = (event for event in recording.events if event.name == "migrate_done")
    assert done.mono_ns > closed[0]
    blackout = examine(recording).metrics["network_blackout_high_s"].value
    assert blackout is not None
    assert blackout >= 0.4


def test_an_outage_that_never_comes_is_said(port: int, tmp_path: Path) -> None:
    recording = trial_of(tmp_path, plan_for(port, shell("true"), until_quiet=True, command_limit="500ms"))
    assert recording.trial.status == "failed"
    assert "no outage was seen within 0.5 s after the command had ended" in str(recording.trial.reason)
