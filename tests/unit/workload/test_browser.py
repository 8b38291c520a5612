"""A browser as a viewer: what is asked of it over the pipe and what is written down, against a scripted one."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from recorded import Running, program, rows, until

from migrascope.cli.run import need_lab
from migrascope.lab.contract import Instance
from migrascope.model.axes import Scenario
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.study.doctor import machine
from migrascope.trial.programs import process_specs
from migrascope.workload import browser, devtools
from migrascope.workload.devtools import DevtoolsError
from migrascope.workload.scenario import scenario

URL = "http://10.0.4.100/relay.html"
BROWSER = Plan.model_validate({"visitors": {"browser": True, "new_rate": 1, "kept_rate": 1}})
PLAYS = """
told(1.0, "begun", 0, 0, "Scripted")
told(5.0, "playing", 0, 4, "")
told(50.0, "sample", 0.045, 4, 1.5, 2, 0, 0)
"""
SCRIPT = """#!{python}
import json, os, time

def say(message):
    os.write(4, json.dumps(message).encode() + b"\\0")

def told(*row):
    call = {{"name": "migrascope", "payload": json.dumps(row)}}
    say({{"method": "Runtime.bindingCalled", "sessionId": "page", "params": call}})

ANSWERS = {{
    "Target.createTarget": {{"targetId": "target"}},
    "Target.attachToTarget": {{"sessionId": "page"}},
    "Runtime.evaluate": {{"result": {{"value": 60.0}}}},
    "SystemInfo.getProcessInfo": {{"processInfo": [{{"id": 1, "cpuTime": 0.5}}, {{"id": 2, "cpuTime": 0.25}}]}},
    {answers}
}}
rest = b""
while chunk := os.read(3, 65536):
    *messages, rest = (rest + chunk).split(b"\\0")
    for message in map(json.loads, messages):
        answer = ANSWERS.get(message["method"], {{}})
        say({{"id": message["id"], **answer}} if "error" in answer else {{"id": message["id"], "result": answer}})
        if message["method"] == "Page.navigate":
{told}
{end}
"""
Scripted = Callable[..., None]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Puts a script in the place of Chromium: what its page tells, other answers, what it does at the pipe's end."""
    path = tmp_path / "chromium"

    def made(told: str = PLAYS, answers: str = "", end: str = "") -> None:
        lines = "\n".join(f"            {line}" for line in (told.strip() or "pass").splitlines())
        path.write_text(SCRIPT.format(python=sys.executable, told=lines, answers=answers, end=end))
        path.chmod(0o755)

    monkeypatch.setattr(browser, "chromium", lambda: str(path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # nobody could not read the script
    monkeypatch.setattr(browser, "PLAYS_S", 1.0)
    made()
    return made


async def failed(folder: Path) -> str:
    """The error with which the program ends by itself."""
    with pytest.raises(DevtoolsError) as caught:
        await asyncio.wait_for(browser.main(program(folder, "browser", url=URL)), 30)
    return str(caught.value)


async def test_what_the_page_tells_is_recorded_by_our_clock(tmp_path: Path, scripted: Scripted) -> None:
    before = time.monotonic_ns()
    async with Running(browser.main, program(tmp_path, "browser", url=URL)):
        await until(lambda: len(rows(tmp_path, "process_cpu", "browser")) >= 2)
    events = {row["event"]: row for row in rows(tmp_path, "browser_event", "browser")}
    assert list(events) == ["clock", "begun", "playing"]
    assert events["begun"]["note"] == "Scripted"
    assert int(events["clock"]["note"]) >= 0
    (sample,) = rows(tmp_path, "browser", "browser")
    assert sample["mono_ns"] - events["playing"]["mono_ns"] == 45_000_000
    assert before - 60_000_000 <= events["begun"]["mono_ns"] <= time.monotonic_ns()
    told = {name: sample[name] for name in ("media_s", "ready", "ahead_s", "frames", "dropped", "late_ms")}
    assert told == {"media_s": 0.045, "ready": 4, "ahead_s": 1.5, "frames": 2, "dropped": 0, "late_ms": 0}
    assert {(row["process"], row["cpu_s"]) for row in rows(tmp_path, "process_cpu", "browser")} == {("chromium", 0.75)}


async def test_a_video_that_does_not_play_is_an_error_with_its_reason(tmp_path: Path, scripted: Scripted) -> None:
    scripted('told(1.0, "begun", 0, 0, "Scripted")\ntold(2.0, "unplayable", 0, 0, "http://x/live.m3u8")')
    assert await failed(tmp_path) == f"{URL}: no video plays within 1 s; unplayable: http://x/live.m3u8"


async def test_a_page_without_a_video(tmp_path: Path, scripted: Scripted) -> None:
    scripted('told(1.0, "begun", 0, 0, "Scripted")')
    assert "the page told nothing of a video" in await failed(tmp_path)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ('"Page.navigate": {"errorText": "net::ERR_CONNECTION_REFUSED"},', f"{URL}: net::ERR_CONNECTION_REFUSED"),
        ('"Page.enable": {"error": {"message": "no such page"}},', "Chromium refused Page.enable: no such page"),
    ],
)
async def test_what_it_refuses_is_said(tmp_path: Path, scripted: Scripted, answers: str, words: str) -> None:
    scripted(answers=answers)
    assert await failed(tmp_path) == words


async def test_a_browser_that_dies_ends_the_program(tmp_path: Path, scripted: Scripted) -> None:
    scripted(f"{PLAYS}\nraise SystemExit(1)")
    assert await failed(tmp_path) == "Chromium ended unasked"


async def test_one_that_does_not_heed_the_end_of_its_pipe_is_killed(
    tmp_path: Path, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devtools, "_END_S", 0.1)
    scripted(end="time.sleep(1000)")
    async with devtools.browser(str(tmp_path / "chromium"), lambda _: None) as made:
        pid = made.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_without_chromium_the_next_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "chromium", lambda: None)
    assert "next: apt-get install chromium" in await failed(tmp_path)


class Watched:
    address = "10.0.4.100"

    @staticmethod
    def watchers(_: float) -> list[Any]:
        return []


@pytest.mark.parametrize("name", ["none", "offline", "online", "relay"])
def test_it_shows_the_page_of_a_scenario_that_holds_a_video(name: Scenario) -> None:
    def shown(plan: Plan) -> list[str]:
        workload = scenario(name, 0, "192.0.2.40")
        everybody = process_specs(None, cast(Instance, Watched()), plan, workload, observed=True, echo={"ipv4": "icmp"})
        return [spec.config["url"] for spec in everybody if spec.source == "browser"]

    assert shown(BROWSER) == ([] if name == "none" else [f"http://10.0.4.100/{name}.html"])
    assert shown(BROWSER.model_copy(update={"visitors": BROWSER.visitors.model_copy(update={"browser": False})})) == []


def test_a_plan_with_a_browser_needs_chromium(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "chromium", lambda: None)
    (check,) = machine.browser(BROWSER)
    assert check.blocks
    words = "Chromium: missing; apt-get install chromium, or visitors.browser = false in the plan"
    assert words in machine.problems_of(BROWSER)
    elsewhere = {"lab": {"kind": "openstack"}, "cloud": {"name": "theirs"}, "visitors": {"browser": True}}
    with pytest.raises(Problem, match="Chromium: missing"):
        need_lab(Plan.model_validate(elsewhere))
    assert list(machine.browser(Plan())) == []
    monkeypatch.setattr(machine, "chromium", lambda: "/usr/bin/chromium")
    assert [check.verdict for check in machine.browser(BROWSER)] == ["pass"]
