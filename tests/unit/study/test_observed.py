"""A machine at an address that a command moves: a run as every other, whatever becomes of the command."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from commandline import migrascope
from loopback import Site, listening, served

from migrascope.analysis.run import analyse
from migrascope.cli.main import _arguments
from migrascope.metrics.trial import examine
from migrascope.model.manners import pause_s
from migrascope.model.observation import BackOff, Event, Target
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, UsageProblem
from migrascope.model.schedule import schedule
from migrascope.node.process import Process
from migrascope.node.wait import wait_until
from migrascope.probe.fetches import Page as Fetched
from migrascope.probe.fetches import session
from migrascope.store.recording import Recording, TrialFacts
from migrascope.store.runfolder import RunFolder
from migrascope.store.spool import Spool, read
from migrascope.study.labs.labs import Progress
from migrascope.study.observation.observe import Until, View, observe
from migrascope.study.observation.observed import Move, plan_of_move
from migrascope.study.observation.page import page_of
from migrascope.study.plans import PlanError, parse, text_of
from migrascope.study.runs.run import execute
from migrascope.trial import observed
from migrascope.trial.observed import INTERRUPTED, ObservedTrials


class Quiet:
    """Progress that nobody reads."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


PROGRESS: Progress = Quiet()


def plan_for(port: int, command: list[str], *, blocks: int = 1, **changes: Any) -> Plan:
    """A plan of short windows for a port of this machine."""
    seen = {"name": "vm", "address": "127.0.0.1", "way": "tcp", "port": port, "command": command, "pause": "0s"}
    return Plan.model_validate(
        {
            "name": "observe", "blocks": blocks, "lab": {"kind": "address"}, "observed": {**seen, **changes},
            "windows": {"before": "1s", "limit": "30s"}, "probes": {"echo_rate": 50},
            "visitors": {"new_rate": 0, "kept_rate": 0, "viewers": 0}, "verdict": {"ledger": 0},
        }
    )  # fmt: skip


def trial_of(folder: Path, plan: Plan) -> Recording:
    """The only trial of a run of the plan."""
    run = asyncio.run(execute(plan, folder, None, PROGRESS))
    (recording,) = run.recordings()
    return recording


def shell(line: str) -> list[str]:
    return ["/bin/sh", "-c", line]


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


async def one_trial(folder: Path, plan: Plan, say: Any = lambda _: None) -> Recording:
    run = RunFolder.create(folder / "runs", text_of(plan), {})
    opened = run.open_trial(1)
    facts = await ObservedTrials(plan, folder, say).run(schedule(plan)[0], opened)
    return run.seal_trial(opened, facts)


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


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as server:
        yield server


def test_visits_alone_are_enough(site: Site, tmp_path: Path) -> None:
    plan = plan_for(0, shell("true"), way="none", url=f"http://127.0.0.1:{site.server_port}/page")
    visitors = plan.visitors.model_copy(update={"new_rate": 10.0, "kept_rate": 10.0})
    recording = trial_of(tmp_path, plan.model_copy(update={"visitors": visitors}))
    assert (recording.trial.status, recording.trial.reason) == ("ok", None)
    found = examine(recording).metrics
    assert recording.table("visit").height > 0
    assert found["network_blackout_s"].reason
    assert found["http_new_failed"].value == 0


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


def test_a_disk_that_fills_is_named_and_what_was_recorded_is_kept(port: int, tmp_path: Path) -> None:
    """As where the disk is full: no file may be longer than this, which that of the replies is soon."""
    observed_by = ["observe", "127.0.0.1", "--port", str(port), "--rate", "500", "--", "sleep", "60"]
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({60_000}, {60_000})); "
        f"sys.argv = ['migrascope', *{observed_by!r}]; from migrascope.cli.main import main; main()"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 4, ended.stderr
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list((tmp_path / "runs").glob("*/trials/1*/*echo_reply*"))


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"address": "vm"}, "address: 'vm' is neither an IPv4 nor an IPv6 address"),
        ({"command": []}, "command: what moves the machine is missing"),
        ({"port": 0}, "port: handshakes need a TCP port"),
        ({"url": "ftp://x/"}, "url: 'ftp://x/' is no URL of a page"),
        ({"way": "none"}, "way: without probes a url"),
    ],
)
def test_a_plan_that_nobody_can_run_says_why(changes: dict[str, Any], words: str) -> None:
    text = text_of(plan_for(80, ["true"]).model_copy())
    wrong = parse(text, "plan").observed.model_copy(update=changes)
    with pytest.raises(PlanError, match="observed: ") as refused:
        parse(text_of(parse(text, "plan").model_copy(update={"observed": wrong})), "plan")
    assert words in str(refused.value)


async def test_a_program_that_is_not_there_is_said_before_anything(port: int) -> None:
    move = Move(["no-such-program"], 1, 0.0, "", 1.0, False)
    with pytest.raises(UsageProblem, match="there is no program 'no-such-program' to run"):
        await plan_of_move("127.0.0.1", "", port, None, move)


async def test_without_any_way_a_url_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object) -> None:
        raise Problem("vm: there is no way to observe it")

    monkeypatch.setattr("migrascope.study.observation.observed.target_of", none)
    move = Move(["true"], 3, 0.0, "", 1.0, False)
    plan, words = await plan_of_move("127.0.0.1", "http://127.0.0.1/", None, None, move)
    assert (plan.observed.way, plan.blocks, plan.visitors.new_rate) == ("none", 3, 5.0)
    assert "no probes: vm: there is no way to observe it" in words
    with pytest.raises(Problem, match="no way"):
        await plan_of_move("127.0.0.1", "", None, None, move)


def test_a_commands_options_are_its_own() -> None:
    given = ["observe", "vm", "--rate", "50", "--", "virsh", "migrate", "--live", "a b"]
    assert _arguments(given) == ["observe", "vm", "--rate", "50", "--command=virsh migrate --live 'a b'"]
    assert _arguments(["show", "--", "-1"]) == ["show", "--", "-1"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--"], "a command is missing"),
        (["--for", "1s", "--", "true"], "are for an observation without a command"),
        (["--repeat", "0", "--", "true"], "--repeat: 1 to 1000"),
        (["--repeat", "2"], "want a command"),
        (["--pause", "soon", "--", "true"], "--pause: 'soon' is not a duration"),
        (["127.0.0.2", "--", "true"], "with a command one address is observed"),
        (["--command", "'"], "--command: No closing quotation"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, arguments: list[str], words: str) -> None:
    ended = migrascope("observe", "127.0.0.1", *arguments, folder=tmp_path)
    assert ended.code == 2
    assert words in ended.stderr


@pytest.mark.usefixtures("_short_windows")
def test_from_the_command_line(port: int, tmp_path: Path) -> None:
    ended = migrascope(
        "observe", "127.0.0.1", "--port", str(port), "--", sys.executable, "-c", "print('moved')", folder=tmp_path
    )
    assert ended.code == 0, ended.stderr
    assert "sends, while a trial lasts, 50 TCP handshakes a second" in ended.stderr
    assert "report.html" in ended.stdout


def test_a_page_is_observed_without_a_command(site: Site, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{site.server_port}/"
    ended = migrascope("observe", "--url", url, "--for", "1s", "--json", folder=tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    begin, *_, end = [json.loads(text) for text in ended.stdout.splitlines()]
    assert (begin["target"]["way"], begin["target"]["name"]) == ("http", url)
    assert end["answered"] > 0


@pytest.mark.parametrize(
    ("status", "words"), [(404, "status 404 instead of 200"), (429, "the server asks for fewer visits")]
)
async def test_a_page_that_is_not_there_is_said(site: Site, status: int, words: str) -> None:
    site.status = status
    with pytest.raises(Problem, match=words):
        await page_of(f"http://127.0.0.1:{site.server_port}/", None)


async def test_nobody_serves_the_page() -> None:
    with pytest.raises(Problem, match="next: --url with a page that is there"):
        await page_of("http://127.0.0.1:1/", None)
    with pytest.raises(UsageProblem, match="is no URL of a page"):
        await page_of("ftp://127.0.0.1/", None)


async def test_a_server_that_wants_to_be_left_alone_is(site: Site, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{site.server_port}/"
    with (
        Spool(tmp_path, "echo_sent", source="a", host="client") as sent,
        Spool(tmp_path, "echo_reply", source="a", host="client") as replies,
        Spool(tmp_path, "back_off", source="a", host="client") as pauses,
    ):
        async with session(10) as client:
            page = Fetched(client, url, sent, replies, pauses)
            await page.fetch(0, 0)
            site.status = 429
            await page.fetch(1, 0)
            site.status = 200
            await page.fetch(2, 0)
    assert [row[0] for row in read(tmp_path / "echo_sent@a.jsonl")[1]] == [0, 1]
    assert [row[0] for row in read(tmp_path / "echo_reply@a.jsonl")[1]] == [0]
    ((from_ns, until_ns, why),) = read(tmp_path / "back_off@a.jsonl")[1]
    assert (until_ns - from_ns, why) == (10 * 10**9, "HTTP: status 429")


async def test_a_server_that_wants_to_be_left_alone_is_told_of(site: Site) -> None:
    url, told, stop = f"http://127.0.0.1:{site.server_port}/", list[Event](), asyncio.Event()

    def tell(event: Event) -> None:
        told.append(event)
        if isinstance(event, BackOff):
            stop.set()

    def show(views: Sequence[View]) -> None:
        if views[0].heard:
            site.status = 429

    target = Target(name=url, address="127.0.0.1", way="http", port=0, rate=20, why="--url", answers=True)
    async with asyncio.timeout(120):
        await observe([target], Until(None, False, stop), tell, show)
    (asked,) = [event for event in told if isinstance(event, BackOff)]
    assert (asked.name, asked.seconds, asked.why) == (url, 10, "HTTP: status 429")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, 10),
        ("30", 30),
        ("1", 10),
        ("1e9", 86_400),
        ("Thu, 01 Jan 1970 01:00:30 GMT", 30),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 10),
        ("later", 10),
    ],
)
def test_how_long_it_is_left_alone(given: str | None, seconds: float) -> None:
    assert pause_s(given, 3600.0) == seconds


def test_a_boot_id_is_asked_for_beside_a_command(site: Site, port: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{site.server_port}/"
    recording = trial_of(tmp_path, plan_for(port, shell("sleep 1.5"), boot_url=url))
    assert recording.trial.status == "ok"
    assert set(recording.table("boot")["boot_id"]) == {"hello"}
    assert list(recording.table("neighbour")["how"]) == ["unseen"]


def test_a_boot_url_is_of_one_machine(tmp_path: Path) -> None:
    ended = migrascope("observe", "127.0.0.1", "127.0.0.2", "--boot-url", "http://127.0.0.1/", folder=tmp_path)
    assert ended.code == 2
    assert "--boot-url is of one machine" in ended.stderr


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
