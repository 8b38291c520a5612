"""A real migration seen from outside, beside QEMU's own events: the guest's pause, the blackout, that it moved.

In the soak tier, because an observer that does not run for a while on an overloaded machine tells that instead.
"""

import asyncio
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from lab.booted import Booted
from migrascope.model.clock import clock_pair
from migrascope.model.schedule import Factors
from migrascope.node.wait import WaitTimeout, wait_until
from observer_process import Observer

pytestmark = [pytest.mark.lab, pytest.mark.soak, pytest.mark.asyncio(loop_scope="module")]
NS = 10**9
MOST_OFF_S, MOST_LONGER_S = 0.005, 0.5
"""Of the pause, and of what a busy host lets the guest wait until it answers."""
TOLD_S = 30.0
EARLY_S = 0.01
"""A blackout begins at the reply before it, whose time is told in ms."""


def began(event: dict[str, Any]) -> float:
    """Wall s."""
    return datetime.fromisoformat(event["time"]).timestamp()


async def begun(observer: Observer) -> bool:
    return bool(observer.events)


async def blackout_at(observer: Observer, wall_s: float) -> dict[str, Any]:
    """That in which the moment lies: on a busy machine the guest may be silent at others, too."""
    found: list[dict[str, Any]] = []

    async def told() -> bool:
        blackouts = [event for event in observer.events if event["event"] == "blackout"]
        found[:] = [event for event in blackouts if 0 <= wall_s - began(event) + EARLY_S <= event["seconds"] + EARLY_S]
        return bool(found)

    try:
        await wait_until(told, TOLD_S, f"a blackout at {wall_s} s is told")
    except WaitTimeout as error:
        raise AssertionError(f"{error}: {observer.events}") from None
    return found[0]


def note(told: dict[tuple[str, str], int], host: str, event: str, _: dict[str, Any], at_ns: int) -> None:
    """Keeps the first event of each name."""
    told.setdefault((host, event), at_ns)


async def test_a_migration_is_seen_from_outside_as_qemu_tells_it(booted: Booted) -> None:
    instance, lab = booted.instance, booted.lab
    source, destination = "host-a", "host-b"
    told: dict[tuple[str, str], int] = {}
    routed, beside = (Observer(space, instance.address, 500) for space in (lab.client, lab.topology.fabric))
    for observer in (routed, beside):
        await observer.start()
    try:
        for observer in (routed, beside):
            await wait_until(partial(begun, observer), TOLD_S, "the observer begins")
            assert observer.events[0]["event"] == "begin"
        factors = Factors("none", "pre-copy", 2**30, 0.0, 0.3, "warm")
        await instance.prepare(destination, factors)
        for host in (source, destination):
            instance.monitors[host].listen(partial(note, told, host))
        await asyncio.sleep(6)  # what a blackout is compared with
        await instance.migrate(destination, 120, lambda: None)
        stop, resume = told[source, "STOP"], told[destination, "RESUME"]
        mono, wall = clock_pair()
        stopped_s = (wall - (mono - stop)) / NS
        seen = {each: await blackout_at(each, stopped_s) for each in (routed, beside)}
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
