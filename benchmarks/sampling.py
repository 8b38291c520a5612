"""What sampling before a migration costs the guest: how fast it writes with and without it, in interleaved pairs.

    sudo .venv/bin/python benchmarks/sampling.py [PAIRS]

A guest that writes as fast as it can, at random into 64 MiB. For each pair the pages that it wrote in a second while it
was sampled over those in as long a time beside; the median of the ratios and its 90 % interval by order statistics.
Goal: 10 s at most, and a lower end of 0.97 at least.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import numpy as np

from common import machine, verdict
from migrascope.analysis.statistics import median_interval
from migrascope.lab.qemu.lab import QemuLab
from migrascope.lab.qemu.topology import INSTANCE_ADDRESS
from migrascope.lab.sampled import Sampled
from migrascope.model.schedule import Factors
from migrascope.study.labs.images import prepare
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.boot import await_boot
from migrascope.trial.programs import AGENT_PORT
from migrascope.trial.sampling import PAGES_LOOKED_AT, PAGES_OF_GIB, PERIODS_S

PAIRS = 20
SLOWER, SAMPLED_S = 0.97, 10.0
WORK = f"/stress?kind=memory&set={64 * 2**20}&pattern=random"
MEMORY = 512 * 2**20
SETTLE_S = 5.0
TOLD_S = 0.3
"""The writer says each 0.2 s how far it is."""


async def sampled(instance: Sampled) -> float:
    """Samples as a trial does, and gives how many seconds that took."""
    began = time.monotonic()
    await asyncio.to_thread(instance.filled, PAGES_LOOKED_AT)
    for period_s in PERIODS_S:
        await instance.dirtied(period_s, PAGES_OF_GIB)
    return time.monotonic() - began


async def written(guest: AgentClient) -> tuple[float, float]:
    """The guest's clock, s, and how many pages its writer has written until then."""
    (worker,) = (await guest.ask("/stress"))["workers"]
    if worker["state"] != "running":
        raise ValueError(f"the writer in the guest: {worker}")
    return worker["guest_s"], worker["operations"]


def rate(first: tuple[float, float], last: tuple[float, float]) -> float:
    return (last[1] - first[1]) / (last[0] - first[0])


async def measured(pairs: int) -> tuple[dict[str, Any], list[float], list[float]]:
    """The lab's facts, the ratio of each pair, and how long each sampling took."""
    images = await prepare(lambda text: None)
    ratios, took = [], []
    async with QemuLab.up(images.host_root, images.boot, wanted="auto", program=None) as lab, AsyncExitStack() as stack:
        factors = Factors("none", "pre-copy", MEMORY, 1e9, 0.3, "warm")
        instance = await lab.create("vm-1", factors, "host-a", lab.folder / "guest")
        stack.push_async_callback(instance.destroy)
        guest = AgentClient(f"http://{INSTANCE_ADDRESS}:{AGENT_PORT}", lab.client)
        await await_boot(instance, guest, 180)
        await guest.ask(WORK, post=True, timeout_s=30)
        await asyncio.sleep(SETTLE_S)
        for pair in range(pairs):
            rates = {}
            for sampling in (True, False) if pair % 2 else (False, True):
                await asyncio.sleep(TOLD_S)
                first = await written(guest)
                if sampling:
                    took.append(await sampled(instance))
                else:
                    await asyncio.sleep(float(np.median(took)) if took else sum(PERIODS_S))
                await asyncio.sleep(TOLD_S)
                rates[sampling] = rate(first, await written(guest))
            ratios.append(rates[True] / rates[False])
        return dict(lab.facts), ratios, took


def table(facts: dict[str, Any], ratios: list[float], took: list[float]) -> str:
    """The machine and the two figures. ValueError below six pairs."""
    interval = median_interval(ratios, 0.9)
    if interval is None:
        raise ValueError("six pairs at least")
    met = verdict(interval.low >= SLOWER)
    longest = max(took)
    return "\n".join(
        [
            machine(facts),
            f"pages written, sampled / not: {np.median(ratios):.3f}, 90 %: {interval.low:.3f} to {interval.high:.3f} "
            f"(n = {len(ratios)}; goal {SLOWER}: {met})",
            f"sampling took at most {longest:.1f} s (goal {SAMPLED_S:.0f} s: {verdict(longest <= SAMPLED_S)})",
        ]
    )


if __name__ == "__main__":
    print(table(*asyncio.run(measured(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS))))
