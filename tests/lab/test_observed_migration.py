"""A real migration seen from outside, beside QEMU's own events: the guest's pause, the blackout, that it moved.

In the soak tier, because an observer that does not run for a while on an overloaded machine tells that instead.
"""

import asyncio
import json
import signal
import sys
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from lab.booted import Booted
from migrascope.model.clock import clock_pair
from migrascope.model.schedule import Factors
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where

pytestmark = [pytest.mark.lab, pytest.mark.soak, pytest.mark.asyncio(loop_scope="module")]
NS = 10**9
MOST_OFF_S, MOST_LONGER_S = 0.005, 0.5
"""Of the pause, and of what a busy host lets the guest wait until it answers."""
TOLD_S = 30.0
EARLY_S = 0.01
"""A blackout begins at the reply before it, whose time is told in ms."""


class Observer:
    """`observe ADDRESS --json` in a namespace."""

    def __init__(self, source: Namespace, address: str) -> None:
        observe = [sys.executable, "-m", "migrascope", "observe", address, "--json", "--rate", "500"]
        self.argv = Where(source).command(observe)
        self.events: list[dict[str, Any]] = []

    async def start(self) -> None:
        """Until it has begun."""
        self.process = await asyncio.create_subprocess_exec(*self.argv, stdout=asyncio.subprocess.PIPE)
        assert (await self.next())["event"] == "begin"

    async def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        self.events.append(json.loads(await self.process.stdout.readline()))
        return self.events[-1]

    async def blackout_at(self, wall_s: float) -> dict[str, Any]:
        """That in which the moment lies: on a busy machine the guest may be silent at others, too."""
        try:
            async with asyncio.timeout(TOLD_S):
                while True:
                    event = await self.next()
                    if (
                        event["event"] == "blackout"
                        and 0 <= wall_s - began(event) + EARLY_S <= event["seconds"] + EARLY_S
                    ):
                        return event
        except TimeoutError:
            raise AssertionError(f"no blackout at {wall_s} s: {self.events}") from None

    async def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        await self.process.communicate()


def began(event: dict[str, Any]) -> float:
    """Wall s."""
    return datetime.fromisoformat(event["time"]).timestamp()


def note(told: dict[tuple[str, str], int], host: str, event: str, _: dict[str, Any], at_ns: int) -> None:
    """Keeps the first event of each name."""
    told.setdefault((host, event), at_ns)


async def test_a_migration_is_seen_from_outside_as_qemu_tells_it(booted: Booted) -> None:
    instance, lab = booted.instance, booted.lab
    source, destination = "host-a", "host-b"
    told: dict[tuple[str, str], int] = {}
    routed, beside = (Observer(space, instance.address) for space in (lab.client, lab.topology.fabric))
    for observer in (routed, beside):
        await observer.start()
    try:
        factors = Factors("none", "pre-copy", 2**30, 0.0, 0.3, "warm")
        await instance.prepare(destination, factors)
        for host in (source, destination):
            instance.monitors[host].listen(partial(note, told, host))
        await asyncio.sleep(6)  # what a blackout is compared with
        await instance.migrate(destination, 120, lambda: None)
        stop, resume = told[source, "STOP"], told[destination, "RESUME"]
        mono, wall = clock_pair()
        stopped_s = (wall - (mono - stop)) / NS
        seen = {each: await each.blackout_at(stopped_s) for each in (routed, beside)}
    finally:
        for observer in (routed, beside):
            await observer.stop()
    pause_s = (resume - stop) / NS
    for event in seen.values():
        assert event["paused_s"] is not None, event["pause_unknown"]
        assert abs(event["paused_s"] - pause_s) <= max(MOST_OFF_S, event["paused_bound_s"]), (event, pause_s)
        assert pause_s - 0.004 <= event["seconds"] <= pause_s + MOST_LONGER_S, (event, pause_s)
        assert event["kept"], event
        assert event["verdict"] == "moved", event
    assert {sign["kind"] for sign in seen[routed]["signs"]} == {"clock-stopped"}
    assert {sign["kind"] for sign in seen[beside]["signs"]} == {"clock-stopped", "announced"}
