"""What sampling before a migration costs the guest: how fast it writes with and without it, in interleaved pairs.

    sudo .venv/bin/python benchmarks/sampling.py [PAIRS]

A guest that writes as fast as it can, at random into 64 MiB. A sampling is done in parts of a second and more, each
beside as long a time without, since the machine's speed drifts. For each pair the pages that the guest wrote in a
second while it was sampled over those beside; the median of the ratios and its 90 % interval by order statistics.
Goal: 10 s at most, and a lower end of 0.97 at least.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


PARTS = (PERIODS_S[:-3], *((period_s,) for period_s in PERIODS_S[-3:]))


async def sampled(instance: Sampled, periods_s: Sequence[float]) -> float:
    """Samples as a trial does, over these periods, and gives how many seconds that took. With the first of all goes the
    look at what is held."""
    began = time.monotonic()
    if periods_s[0] == PERIODS_S[0]:
        await asyncio.to_thread(instance.filled, PAGES_LOOKED_AT)
    for period_s in periods_s:
        await instance.dirtied(period_s, PAGES_OF_GIB)
    return time.monotonic() - began


async def written(guest: AgentClient) -> tuple[float, float]:
    """The guest's clock, s, and how many pages its writer has written until then."""
    (worker,) = (await guest.ask("/stress"))["workers"]
    if worker["state"] != "running":
        raise ValueError(f"the writer in the guest: {worker}")
    return worker["guest_s"], worker["operations"]


async def grown(guest: AgentClient, beside: Awaitable[float]) -> tuple[NDArray[np.float64], float]:
    """By how much both grow meanwhile, and what was awaited."""
    await asyncio.sleep(TOLD_S)
    first = await written(guest)
    took = await beside
    await asyncio.sleep(TOLD_S)
    return np.subtract(await written(guest), first), took


async def idle(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


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
            sums, seconds = {True: np.zeros(2), False: np.zeros(2)}, 0.0
            for number, periods_s in enumerate(PARTS):
                for sampling in (True, False) if (pair + number) % 2 else (False, True):
                    beside = sampled(instance, periods_s) if sampling else idle(sum(periods_s))
                    more, took_s = await grown(guest, beside)
                    sums[sampling] += more
                    seconds += took_s if sampling else 0.0
            took.append(seconds)
            (in_s, pages), (beside_s, others) = sums[True], sums[False]
            ratios.append(float(pages / in_s / (others / beside_s)))
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
