"""Hours of `observe` on a machine that is busy at times: outages that there were not, its share of a core, its memory.

    sudo .venv/bin/python benchmarks/observation.py [HOURS]

Two observers with 500 probes a second each, where the visitors are: of the QEMU lab's guest, which does nothing, and of
the router beside it, which the kernel answers for and which cannot be out. Meanwhile programs that only count keep the
cores busy, for seconds at a time; the guest's QEMU comes before them.

Goals: no outage of the router is told, 4 % of a core an observer, and memory that stays: at the end not 2 MiB more than
after a tenth of the time. An outage of the guest may be one: QEMU shares the cores with all that.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common import machine, verdict
from migrascope.lab.qemu.topology import GATEWAY
from migrascope.node.cpu import process_cpu_ns
from observer_process import Observer, guest_up

RATE = 500
SHARE, GROWTH_BYTES = 0.04, 2 * 2**20
LOOK_S = 20.0
SETTLED = 0.1
"""The part of the time after which memory is what it should stay."""
COUNTING = "import time\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"


def resident_bytes(pid: int) -> int:
    """Memory that is the process's own: its resident pages without those that files back."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


@dataclass
class Looks:
    """An observer's CPU time (s) and memory (bytes) by the time (s) since its begin."""

    observer: Observer
    at_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def look(self, at_s: float) -> None:
        pids = self.observer.pids()
        with suppress(OSError):
            cpu, memory = sum(map(process_cpu_ns, pids)) / 1e9, sum(map(resident_bytes, pids))
            self.at_s.append(at_s)
            self.cpu_s.append(cpu)
            self.memory.append(memory)

    def share(self) -> float:
        """Of a core, from the second look on: the first has the start in it."""
        return (self.cpu_s[-1] - self.cpu_s[1]) / (self.at_s[-1] - self.at_s[1])

    def growth(self) -> float:
        """Bytes between the settled and the last tenth, the medians of their looks."""
        total = self.at_s[-1]
        parts = [
            [size for at, size in zip(self.at_s, self.memory, strict=True) if low <= at / total <= low + SETTLED]
            for low in (SETTLED, 1 - SETTLED)
        ]
        return float(np.median(parts[1]) - np.median(parts[0]))


def precede(pids: Iterable[int]) -> None:
    """The guest's programs come before others, as on a machine of its own: what it is silent for is not its host's."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), -20)


@asynccontextmanager
async def busy() -> AsyncIterator[None]:
    """Up to three programs that count, for 1 to 5 s at a time, with breaks as long."""
    chance = random.Random(1)

    async def bursts() -> None:
        while True:
            seconds = chance.uniform(1, 5)
            argv = [sys.executable, "-c", COUNTING.format(seconds)]
            counting = [await asyncio.create_subprocess_exec(*argv) for _ in range(chance.randint(1, 3))]
            await asyncio.gather(*(process.wait() for process in counting))
            await asyncio.sleep(chance.uniform(1, 5))

    going = asyncio.create_task(bursts())
    try:
        yield
    finally:
        going.cancel()


async def observed(hours: float) -> tuple[dict[str, Any], dict[str, Looks], dict[str, list[dict[str, Any]]]]:
    """The lab's facts; of each observer its looks and its events."""
    async with guest_up() as (trial, facts):
        precede(trial.instance.pids().values())
        places = {"router": GATEWAY, "guest": trial.instance.address}
        looks = {name: Looks(Observer(trial.lab.client, address, RATE)) for name, address in places.items()}
        for each in looks.values():
            await each.observer.start()
        begin = time.monotonic()
        async with busy():
            while (at := time.monotonic() - begin) < 3600 * hours:
                for each in looks.values():
                    each.look(at)
                await asyncio.sleep(LOOK_S)
        return facts, looks, {name: await each.observer.stop() for name, each in looks.items()}


def table(facts: dict[str, Any], looks: dict[str, Looks], told: dict[str, list[dict[str, Any]]]) -> str:
    lines = [machine(facts), f"{looks['router'].at_s[-1] / 3600:.2f} h, {RATE} probes a second to each"]
    for name, each in looks.items():
        kinds = [event["event"] for event in told[name]]
        blackouts = [event["seconds"] for event in told[name] if event["event"] == "blackout"]
        end = next((event for event in told[name] if event["event"] == "end"), {})
        lines += [
            f"{name}: {end.get('sent', 0)} probes, blackouts told: {len(blackouts)}, the longest "
            f"{1e3 * max(blackouts, default=0):.0f} ms; {kinds.count('own-lateness')} times that the observer was late",
            f"  {100 * each.share():.2f} % of a core (goal 4 %: {verdict(each.share() <= SHARE)}); memory "
            f"{each.memory[-1] / 2**20:.1f} MiB, {each.growth() / 2**20:+.2f} MiB since the first tenth "
            f"(goal +2: {verdict(each.growth() <= GROWTH_BYTES)})",
        ]
    none = not any(event["event"] == "blackout" for event in told["router"]) and bool(told["router"])
    return "\n".join([*lines, f"no outage that there was not (goal: {verdict(none)})"])


if __name__ == "__main__":
    print(table(*asyncio.run(observed(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))))
