"""Load in a real guest: what it says that it has reached, against what others saw."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from lab.booted import Booted
from migrascope.lab.qemu.lab import QemuInstance
from migrascope.lab.qemu.topology import address
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.wait import wait_until
from migrascope.store import spool
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.processes import Processes

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]
SINK_PORT = 9009
Guest = tuple[QemuInstance, AgentClient, Processes]


@pytest_asyncio.fixture(loop_scope="module")
async def guest(booted: Booted, tmp_path: Path) -> AsyncIterator[Guest]:
    """A guest without load, what records its load, and a sink among the visitors; afterwards nothing loads it."""
    instance, call, client = booted.instance, booted.call, booted.lab.client
    processes = Processes(tmp_path, tmp_path, "vm-1", "")
    agent = {"url": f"http://{instance.address}:8080", "interval_s": 0.2}
    sink = {"address": address("client", "external"), "port": SINK_PORT}
    try:
        await processes.start(
            [
                ProcessSpec("stress", "migrascope.probe.stress", "client", client, agent),
                ProcessSpec("sink", "migrascope.workload.sink", "client", client, sink),
            ]
        )
        yield instance, call, processes
    finally:
        await processes.stop()
        await call.ask("/stop?what=stress", post=True, timeout_s=60)


async def begin(call: AgentClient, options: str) -> dict[str, Any]:
    """Starts one worker; what it says once it works."""
    await call.ask(f"/stress?{options}", post=True)
    found: list[dict[str, Any]] = []

    async def works() -> bool:
        found[:] = (await call.ask("/stress"))["workers"]
        return all(worker["state"] != "preparing" for worker in found)

    await wait_until(works, 30, "the worker works")
    assert [worker["state"] for worker in found] == ["running"], found
    return found[0]


async def after(call: AgentClient, first: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What the worker says when it has worked so long, by its own clock."""
    found: list[dict[str, Any]] = []

    async def worked() -> bool:
        found[:] = (await call.ask("/stress"))["workers"]
        return bool(found[0]["guest_s"] >= first["guest_s"] + seconds)

    await wait_until(worked, 10 * seconds, f"{seconds:g} s of work", 0.05)
    return found[0]


async def bearable(call: AgentClient, options: str, wanted: float) -> float:
    """The rate that is wanted (B/s), or half of what the guest does flat out on this machine."""
    most = await begin(call, options)
    reached = rate(most, await after(call, most, 1.5))
    await call.ask("/stop?what=stress", post=True)
    return min(wanted, reached / 2)


def rate(first: dict[str, Any], last: dict[str, Any]) -> float:
    return float((last["bytes"] - first["bytes"]) / (last["guest_s"] - first["guest_s"]))


async def dirty_rate(instance: QemuInstance) -> float:
    """How much memory QEMU sees change in a second (B/s), from samples of every 64th page."""
    monitor = instance.monitors["host-a"]
    await monitor.execute("calc-dirty-rate", {"calc-time": 1, "sample-pages": 4096})
    answer: dict[str, Any] = {}

    async def measured() -> bool:
        answer.update(await monitor.execute("query-dirty-rate"))
        return bool(answer["status"] == "measured")

    await wait_until(measured, 20, "QEMU has measured", 0.05)
    return float(answer["dirty-rate"] * 2**20)


@pytest.mark.parametrize("pattern", ["sequential", "few"])
async def test_memory_changes_as_fast_as_it_says(guest: Guest, pattern: str) -> None:
    instance, call, _ = guest
    options = f"kind=memory&set=402653184&pattern={pattern}"
    asked = await bearable(call, options, 40e6)
    first = await begin(call, f"{options}&rate={asked:.0f}")
    seen = await dirty_rate(instance)
    last = await after(call, first, 3)
    assert rate(first, last) == pytest.approx(asked, rel=0.1)
    assert seen == pytest.approx(rate(first, last), rel=0.3)
    assert (await call.ask("/stop?what=stress", post=True))["stopped"] == [first["worker"]]
    assert (await call.ask("/stress"))["workers"] == []


async def test_memory_changes_at_random_faster_than_a_link_carries_where_the_machine_can(guest: Guest) -> None:
    _, call, _ = guest
    options = "kind=memory&set=268435456&pattern=random"
    asked = await bearable(call, options, 160e6)
    first = await begin(call, f"{options}&rate={asked:.0f}")
    assert rate(first, await after(call, first, 3)) == pytest.approx(asked, rel=0.1)


async def test_synced_writes_reach_the_volume(guest: Guest) -> None:
    instance, call, _ = guest

    async def written() -> int:
        (device,) = await instance.monitors["host-a"].execute("query-blockstats")
        return int(device["stats"]["wr_bytes"])

    options = "kind=disk-write&set=33554432&sync=1"
    asked = await bearable(call, options, 2e6)
    first = await begin(call, f"{options}&rate={asked:.0f}")
    before, last = await written(), await after(call, first, 3)
    done = last["bytes"] - first["bytes"]
    assert rate(first, last) == pytest.approx(asked, rel=0.15)
    assert done * 0.8 < await written() - before < done * 2


async def test_reads_come_from_the_volume(guest: Guest) -> None:
    instance, call, _ = guest

    async def read() -> int:
        (device,) = await instance.monitors["host-a"].execute("query-blockstats")
        return int(device["stats"]["rd_bytes"])

    options = "kind=disk-read&set=33554432"
    asked = await bearable(call, options, 4e6)
    first = await begin(call, f"{options}&rate={asked:.0f}")
    before, last = await read(), await after(call, first, 3)
    assert rate(first, last) == pytest.approx(asked, rel=0.15)
    assert await read() - before > 0.8 * (last["bytes"] - first["bytes"])


async def test_what_is_sent_arrives(guest: Guest, tmp_path: Path) -> None:
    _, call, processes = guest
    options = f"kind=network&to={address('client', 'external')}:{SINK_PORT}"
    asked = await bearable(call, options, 8e6)
    came = spool.read(tmp_path / "sink@sink.jsonl")[1][-1][1]
    first = await begin(call, f"{options}&rate={asked:.0f}")
    last = await after(call, first, 3)
    assert rate(first, last) == pytest.approx(asked, rel=0.1)
    await processes.stop()
    _, rows = spool.read(tmp_path / "sink@sink.jsonl")
    assert rows[-1][1] - came >= last["bytes"] - 2**20


async def test_processors_are_taken_and_the_agent_answers(guest: Guest, tmp_path: Path) -> None:
    _, call, processes = guest
    await call.ask("/stress?kind=cpu&workers=2", post=True)

    async def busy() -> bool:
        found = (await call.ask("/stress"))["workers"]
        return len(found) == 2 and all(worker["cpu_s"] > 1 for worker in found)

    await wait_until(busy, 30, "both have worked for a second")
    begun = asyncio.get_running_loop().time()
    for _ in range(20):
        await call.ask("/alive?id=x")
    assert (asyncio.get_running_loop().time() - begun) / 20 < 0.25
    await processes.stop()
    _, rows = spool.read(tmp_path / "stress@stress.jsonl")
    assert {row[3] for row in rows} == {"kind=cpu workers=2"}
