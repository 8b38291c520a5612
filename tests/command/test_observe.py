"""`observe` against ports and pages of our own on loopback, and a listener that goes and comes back."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from commandline import migrascope
from loopback import Site, full, listening

from migrascope.model.observation import BackOff, Blackout, End, Event, Target, schema
from migrascope.model.problem import Problem
from migrascope.node.wait import wait_until
from migrascope.probe.peer_clock import refusal
from migrascope.study.observation import observe as observing
from migrascope.study.observation.observe import Until, View, observe


def target(port: int, rate: float = 100) -> Target:
    return Target(name="127.0.0.1", address="127.0.0.1", way="tcp", port=port, rate=rate, why="--port", answers=True)


async def test_a_service_that_was_gone_is_told_from_when_to_when() -> None:
    server = listening()
    port = server.getsockname()[1]
    told: list[Event] = []
    stop = asyncio.Event()
    gone: list[int] = []

    async def meanwhile(views: Sequence[View]) -> None:
        nonlocal server

        async def steady() -> bool:
            return views[0].window.tally(time.monotonic_ns()).answered >= 20

        await wait_until(steady, 60, "20 replies")
        gone.append(time.monotonic_ns())
        server.close()
        gone.append(time.monotonic_ns())
        await asyncio.sleep(0.5)
        gone.append(time.monotonic_ns())
        server = listening(port)
        gone.append(time.monotonic_ns())

    breaking: list[asyncio.Task[None]] = []

    def show(views: Sequence[View]) -> None:
        if not breaking:
            breaking.append(asyncio.ensure_future(meanwhile(views)))
        if any(isinstance(event, Blackout) and event.seconds > 0.3 for event in told):
            stop.set()

    async with asyncio.timeout(120):
        assert await observe([target(port)], Until(None, False, stop), told.append, show)
    server.close()
    await breaking[0]
    blackout = next(event for event in told if isinstance(event, Blackout) and event.seconds > 0.3)
    assert not blackout.at_least
    assert not blackout.late
    assert blackout.lost > 0
    assert blackout.low_s <= (gone[3] - gone[0]) / 1e9
    assert (gone[2] - gone[1]) / 1e9 <= blackout.high_s
    assert isinstance(told[-1], End)
    assert told[-1].lost <= told[-1].sent - told[-1].answered


def limited(monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    """Probers may take no more of something: a limit of resource(3), RLIMIT_FSIZE for example."""
    argvs = observing._argvs
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # a module that is compiled now would be cut off, too

    def started(targets: Sequence[Target], folder: Path) -> dict[str, list[str]]:
        code = (
            "import resource, runpy, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
            f"resource.setrlimit(resource.{limit}, ({most}, {most})); "
        )
        _, _, module, config = argvs(targets, folder)["prober"]
        code += f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
        return {"prober": [sys.executable, "-c", code, config]}

    monkeypatch.setattr(observing, "_argvs", started)


async def test_a_prober_that_cannot_record_says_why_and_the_whole_is_told(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk is full: it may write no file that is longer than this."""
    limited(monkeypatch, "RLIMIT_FSIZE", 2000)
    told: list[Event] = []
    with pytest.raises(Problem, match=r"the prober has ended: cannot record in .*: File too large"):
        async with asyncio.timeout(120):
            await observe([target(port)], Until(None, False, asyncio.Event()), told.append, lambda views: None)
    assert isinstance(told[-1], End)
    assert told[-1].answered > 0


async def test_more_handshakes_than_there_may_be_files_are_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, "RLIMIT_NOFILE", 1000)
    with pytest.raises(Problem, match=r"1868 open files are needed, and 1000 allowed \(ulimit -Hn\)"):
        async with asyncio.timeout(120):
            await observe([target(port, 2000)], Until(None, False, asyncio.Event()), print, lambda views: None)


def test_json_is_an_object_for_each_event_of_the_printed_schema(tmp_path: Path, port: int) -> None:
    ended = migrascope(
        "observe", "127.0.0.1", "localhost", "--port", str(port), "--for", "1s", "--json", folder=tmp_path
    )
    assert (ended.code, ended.stderr) == (0, "")
    events = [json.loads(text) for text in ended.stdout.splitlines()]
    assert [event["event"] for event in events if event["event"] in ("begin", "end")] == ["begin", "end"]
    assert events[0]["target"]["name"] == "127.0.0.1"
    assert events[-1]["answered"] > 0
    shown = json.loads(migrascope("schema", "observe", folder=tmp_path).stdout)
    assert shown == schema()
    kinds = {
        definition["properties"]["event"]["const"]: definition
        for definition in shown["$defs"].values()
        if "event" in definition.get("properties", {})
    }
    assert set(kinds) == {"begin", "silent", "blackout", "own-lateness", "back-off", "end"}
    for event in events:
        assert set(event) == set(kinds[event["event"]]["properties"])


def test_into_a_pipe_go_lines_alone(tmp_path: Path, port: int) -> None:
    ended = migrascope("observe", "127.0.0.1", "--port", str(port), "--for", "1s", folder=tmp_path)
    assert ended.code == 0
    first, second, *_, last = ended.stdout.splitlines()
    assert first.startswith("127.0.0.1: 50 TCP handshakes a second")
    kept = refusal("127.0.0.1") is None
    assert second.startswith(f"in all {100 if kept else 50} probes a second, ")
    assert ("50 of them on 1 kept TCP connection" in second) is kept
    assert last.startswith("127.0.0.1: ")
    assert "\x1b" not in ended.stdout


def test_what_never_answers_is_named_at_the_end(tmp_path: Path) -> None:
    with full() as port:
        ended = migrascope("observe", "127.0.0.1", "--port", str(port), "--for", "1s", folder=tmp_path)
    assert ended.code == 4
    assert "it does not answer yet" in ended.stdout
    assert "none answered" in ended.stdout
    assert "nothing has answered: 127.0.0.1\n  next: " in ended.stderr


def test_a_page_is_observed_without_a_command(site: Site, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{site.server_port}/"
    ended = migrascope("observe", "--url", url, "--for", "1s", "--json", folder=tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    begin, *_, end = [json.loads(text) for text in ended.stdout.splitlines()]
    assert (begin["target"]["way"], begin["target"]["name"]) == ("http", url)
    assert end["answered"] > 0


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
