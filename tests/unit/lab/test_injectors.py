"""Injectors and the operator of the QEMU lab, without a lab."""

import itertools
import os
import socket
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrascope.lab.injectors import delayline
from migrascope.lab.injectors.delayline import Line
from migrascope.lab.qemu.injectors.commands import Held
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.machine import Program
from migrascope.lab.qemu.recovery import STUCK_S, Recovery
from migrascope.lab.qemu.rescue import rescue
from migrascope.node.namespace import Namespace

PROGRAM = Program("qemu", None, "tcg")


def through(line_delay_s: float, frames: list[bytes]) -> tuple[list[bytes], float]:
    """What comes out of a delay line, and after how long."""
    near, source = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    sink, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for sock in (source, far):
        sock.setblocking(False)
    line = Line(source.fileno(), sink.fileno(), line_delay_s)
    began = time.monotonic()
    for frame in frames:
        near.send(frame)
    line.take()
    while line.due() is not None:
        line.give()
    took, found = time.monotonic() - began, []
    try:
        while True:
            found.append(os.read(far.fileno(), 2**16))
    except BlockingIOError:
        return found, took
    finally:
        for sock in (near, source, sink, far):
            sock.close()


def test_a_delay_line_gives_each_frame_later_and_in_order() -> None:
    frames = [bytes([number]) * 100 for number in range(10)]
    found, took = through(0.05, frames)
    assert found == frames
    assert took >= 0.05


def test_a_delay_line_that_is_full_loses_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delayline, "MOST_HELD", 250)
    found, _ = through(0.01, [b"a" * 100, b"b" * 100, b"c" * 100, b"d" * 50])
    assert found == [b"a" * 100, b"b" * 100, b"d" * 50]


class Monitor:
    """A QEMU that writes down what it is told. answers: by command."""

    def __init__(self, host: str, **answers: Any) -> None:
        self.host, self.answers, self.told = host, answers, list[str]()

    async def execute(self, command: str, arguments: Any = None, timeout_s: float = 5.0, *, oob: bool = False) -> Any:
        self.told.append(command)
        return self.answers.get(command, {})


class Played:
    """An instance whose QEMUs are played."""

    def __init__(self, **states: str) -> None:
        self.host, self.held = "host-a", False
        self.steps: list[str] = []
        self.states = {name.replace("_", "-"): state for name, state in states.items()}
        self.processes = {host: SimpleNamespace(ended=False) for host in self.states}
        self.monitors = {host: Monitor(host) for host in ("host-a", "host-b")}
        self.topology = SimpleNamespace(stream_address=lambda host: f"{host}.migration")
        self.restarted = 0

    async def state(self, host: str) -> dict[str, Any]:
        return {"status": self.states[host]}

    async def restart(self, program: Program) -> None:
        self.restarted += 1


def instance(played: Played) -> Instance:
    return cast(Instance, played)


async def test_a_switchover_is_held_until_the_disturbance_has_taken_effect() -> None:
    played = Played()
    seen: list[tuple[str, bool]] = []

    class Inner:
        async def arm(self) -> None:
            seen.append(("arm", played.held))

        async def apply(self) -> str:
            seen.append(("apply", played.held))
            return "done"

        async def heal(self) -> None:
            seen.append(("heal", played.held))

    held = Held(Inner(), instance(played))
    await held.arm()
    assert played.monitors["host-a"].told == ["migrate-set-capabilities"]
    assert await held.apply() == "the switchover was held for it, and is longer; done"
    assert not played.held
    await held.heal()
    assert seen == [("arm", True), ("apply", True), ("heal", False)]


async def test_a_guest_that_stands_still_goes_on() -> None:
    played = Played(host_a="postmigrate", host_b="io-error")
    asked = itertools.count()

    async def answers() -> bool:
        return next(asked) > 0 and "cont" in played.monitors["host-b"].told

    said = await rescue(instance(played), PROGRAM, answers)
    assert said.operator == ["cont on host-b"]
    assert said.found == "host-a: postmigrate, host-b: io-error"
    assert said.answers_s is not None
    assert played.restarted == 0


async def test_a_guest_that_runs_nowhere_is_started_again() -> None:
    played = Played()

    async def answers() -> bool:
        return played.restarted > 0

    said = await rescue(instance(played), PROGRAM, answers)
    assert said.operator == ["start it again from its volume"]
    assert (said.found, played.restarted) == ("no QEMU runs", 1)


async def test_post_copy_that_stands_still_is_paused_on_both_sides() -> None:
    played = Played()
    recovery = Recovery(instance(played), "host-b", cast(Namespace, None))

    def active(sent: int) -> dict[str, Any]:
        return {"status": "postcopy-active", "ram": {"transferred": sent}}

    await recovery.step(active(10), 0.0)
    await recovery.step(active(20), STUCK_S)
    await recovery.step(active(20), 2 * STUCK_S - 0.1)
    assert played.steps == []
    await recovery.step(active(20), 2 * STUCK_S)
    assert played.steps == ["migrate-pause on both hosts"]
    assert [monitor.told for monitor in played.monitors.values()] == [["migrate-pause"]] * 2


async def test_post_copy_that_is_paused_is_resumed_where_the_destination_answers() -> None:
    played = Played()
    reached = [False, True]
    network = cast(Namespace, SimpleNamespace(call=lambda look: reached.pop(0)))
    recovery = Recovery(instance(played), "host-b", network)
    paused = {"status": "postcopy-paused"}
    await recovery.step(paused, 0.0)
    assert [monitor.told for monitor in played.monitors.values()] == [[], []]
    await recovery.step(paused, 0.1)
    assert played.steps == ["migrate-recover on host-b, migrate with resume on host-a"]
    assert [monitor.told for monitor in played.monitors.values()] == [["migrate"], ["migrate-recover"]]
