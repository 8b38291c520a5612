"""What lives in the guest for Migrascope's sake, and what a visit costs: CPU time of its QEMU and of the visitors.

    sudo .venv/bin/python benchmarks/presence.py

Goals under TCG: 12 % of a core with 50 echoes a second, 30 % with 500; 2.5 ms of the visitors' process for each visit.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from common import machine, verdict
from migrascope.lab.qemu.lab import QemuLab
from migrascope.lab.qemu.topology import INSTANCE_ADDRESS
from migrascope.model.schedule import Factors
from migrascope.node.cpu import process_cpu_ns
from migrascope.node.process_spec import ProcessSpec
from migrascope.study.labs.images import prepare
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.boot import await_boot
from migrascope.trial.processes import Processes
from migrascope.trial.programs import AGENT_PORT, INTERVAL_S
from migrascope.trial.witnesses import Ledger

LOOK_S = 5.0
REPEATS = 3
RATE = 40.0


class Bench:
    """A guest that is up, and what is started beside it."""

    def __init__(self, lab: QemuLab, pid: int, folder: Path) -> None:
        self.lab, self.pid, self.folder = lab, pid, folder

    def member(self, source: str, module: str, **config: Any) -> ProcessSpec:
        return ProcessSpec(source, f"migrascope.{module}", "client", self.lab.client, config)

    async def shares(self, members: Sequence[ProcessSpec]) -> dict[str, float]:
        """The share of a core of the guest ("qemu") and of each member; the median look of several."""
        looks = []
        processes = Processes(self.folder, self.folder, "vm-1", "")
        try:
            await processes.start(members)
            await asyncio.sleep(1)
            for _ in range(REPEATS):
                pids = {"qemu": self.pid, **processes.pids()}
                began, first = time.monotonic(), {name: process_cpu_ns(pid) for name, pid in pids.items()}
                await asyncio.sleep(LOOK_S)
                took = time.monotonic() - began
                looks.append({name: (process_cpu_ns(pid) - first[name]) / 1e9 / took for name, pid in pids.items()})
        finally:
            await processes.stop()
        return {name: sorted(look[name] for look in looks)[REPEATS // 2] for name in looks[0]}


async def measured() -> list[str]:
    images = await prepare(lambda text: None)
    lines = []
    async with QemuLab.up(images.host_root, images.boot, wanted="auto", program=None) as lab, AsyncExitStack() as stack:
        factors = Factors("none", "pre-copy", 2**30, 1e9, 0.3, "warm")
        instance = await lab.create("vm-1", factors, "host-a", lab.folder / "guest")
        stack.push_async_callback(instance.destroy)
        call = AgentClient(f"http://{INSTANCE_ADDRESS}:{AGENT_PORT}", lab.client)
        await await_boot(instance, call, 90)
        await asyncio.sleep(5)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(lab, instance.pids()["qemu-host-a"], folder)
        lines.append(machine(lab.facts))
        idle = await bench.shares([])
        lines.append(f"agent and memory witness alone: {100 * idle['qemu']:.1f} % of a core")
        ledger = Ledger(instance, lab.client)
        alive = bench.member(
            "liveness", "probe.liveness", address=INSTANCE_ADDRESS, port=AGENT_PORT, interval_s=INTERVAL_S
        )
        for rate, goal in ((50.0, 0.12), (500.0, 0.30)):
            echo = bench.member("echo", "probe.echo", target=INSTANCE_ADDRESS, rate=rate, kind="icmp")
            collector = ledger.collector()
            await ledger.begin(call, 5.0)
            used = (await bench.shares([collector, alive, echo]))["qemu"]
            await call.ask("/stop?what=ledger", post=True)
            met = verdict(used <= goal)
            lines.append(f"all of it, {rate:g} echoes/s: {100 * used:.1f} % of a core (goal {100 * goal:.0f} %: {met})")
        page = f"http://{INSTANCE_ADDRESS}/none.html"
        for kind in ("new", "kept"):
            rates = {f"{value}_rate": RATE * (value == kind) for value in ("new", "kept")}
            people = bench.member("visitors", "workload.visitors", url=page, seed=1, kept_connections=10, **rates)
            found = await bench.shares([people])
            guest, visitors = (found["qemu"] - idle["qemu"]) / RATE, found["visitors"] / RATE
            met = verdict(visitors <= 0.0025)
            lines.append(
                f"a {kind} visit: {1e3 * guest:.1f} ms of the guest, {1e3 * visitors:.1f} ms of the visitors' process "
                f"(goal 2.5 ms: {met})"
            )
    return lines


if __name__ == "__main__":
    print("\n".join(asyncio.run(measured())))
