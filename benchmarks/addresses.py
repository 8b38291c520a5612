"""What `observe` takes of a core for one address, and for a hundred at once, by each of its processes.

    sudo .venv/bin/python benchmarks/addresses.py [SECONDS] [--one-core]

Two network namespaces that a veth pair joins. The kernel of this machine answers for the other machine; what it takes
for that is not the observer's: it is done on the last core, and the observer runs on the others (with --one-core, as it
would without that, in the prober's own time). One address with 500 probes a second; the same with a TCP port that is
open, so that a connection is kept for its time stamps; a hundred addresses with 50 probes a second each. Shares are
medians of looks 5 s apart, from 5 s after the begin on.

Goals: 4 % of a core for one address, 50 % for a hundred, and the first line within 1 s.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from common import verdict
from migrascope.node.cpu import process_cpu_ns
from migrascope.node.link import take_up
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove
from migrascope.node.wait import wait_until
from migrascope.study.runs.environment import environment
from observer_process import Observer

ADDRESSES = [f"10.9.8.{number}" for number in range(101, 201)]
LOOK_S, FIRST_LINE_S, LIMIT_S = 5.0, 1.0, 30.0
SERVER = "import socket, time\nserver = socket.create_server(('', 80))\ntime.sleep(1e6)"


@contextmanager
def joined() -> Iterator[tuple[Namespace, Namespace]]:
    """The observer's namespace, and one that has all addresses."""
    register = Register.create()  # so that `migrascope clean` finds what a kill leaves
    first, second = (register.namespace(role) for role in ("observer", "observed"))
    try:
        for namespace in (first, second):
            namespace.create()
        peer = {"ifname": "v0", "net_ns_fd": second.name}
        first.configure(lambda routes: routes.link("add", ifname="v0", kind="veth", peer=peer))
        first.configure(partial(take_up, interface="v0", address="10.9.8.1/24"))
        for address in ADDRESSES:
            second.configure(partial(take_up, interface="v0", address=f"{address}/24"))
        yield first, second
    finally:
        remove(register, Cleaned())


async def answered_elsewhere(*spaces: Namespace) -> None:
    """What comes to either end of the pair is handled on the last core (Documentation/networking/scaling.rst, RPS), and
    this process, with all that it starts, leaves that core."""
    last = (os.cpu_count() or 1) - 1
    os.sched_setaffinity(0, set(range(last)) or {0})
    word = f"mount -t sysfs sysfs /sys && echo {1 << last:x} > /sys/class/net/v0/queues/rx-0/rps_cpus"
    for space in spaces:
        argv = Where(space).command(["unshare", "--mount", "sh", "-c", word])
        process = await asyncio.create_subprocess_exec(*argv)
        if await process.wait() != 0:
            raise SystemExit("this kernel does not let packets be handled on another core")


def used(observer: Observer) -> dict[str, float]:
    """CPU seconds of each of its processes so far, by the name of its module."""
    names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2].decode() for pid in observer.pids()}
    return {name.rpartition(".")[2]: process_cpu_ns(pid) / 1e9 for pid, name in names.items()}


async def shares(space: Namespace, seconds: float, rate: int, *addresses: str) -> tuple[float, dict[str, float]]:
    """When its first line came (s), and of each process the median share of a core (%)."""
    observer = Observer(space, addresses[0], rate, *addresses[1:])
    begun = time.monotonic()
    await observer.start()

    async def begun_to_tell() -> bool:
        return bool(observer.events)

    await wait_until(begun_to_tell, LIMIT_S, "the first line", every_s=0.005)
    first, looks = time.monotonic() - begun, list[tuple[float, dict[str, float]]]()
    for _ in range(1 + max(2, round(seconds / LOOK_S))):
        await asyncio.sleep(LOOK_S)
        looks.append((time.monotonic(), used(observer)))
    (end,) = [event for event in await observer.stop() if event["event"] == "end"][:1]
    assert end["answered"], end
    return first, {
        name: 100
        * float(np.median([(now[name] - then[name]) / (at - since) for (since, then), (at, now) in pairwise(looks)]))
        for name in looks[0][1]
    }


def row(title: str, goal: float, first: float, found: dict[str, float]) -> str:
    whole = sum(found.values())
    parts = ", ".join(f"{name} {share:.2f}" for name, share in found.items())
    return (
        f"{title:26} {whole:6.2f} % of a core (goal {goal:g}: {verdict(whole <= goal)}): {parts}; "
        f"first line after {first:.2f} s ({verdict(first <= FIRST_LINE_S)})"
    )


async def main(seconds: float, *, one_core: bool) -> None:
    here = environment()
    where = "in the prober's own time" if one_core else "on a core of its own"
    print(f"{here['cpu']}, {here['cores']} cores, kernel {here['kernel']}; {seconds:g} s each; answered {where}")
    with joined() as (space, machine):
        if not one_core:
            await answered_elsewhere(space, machine)
        print(row("one at 500/s", 4, *await shares(space, seconds, 500, ADDRESSES[0])), flush=True)
        print(row("a hundred at 50/s", 50, *await shares(space, seconds, 50, *ADDRESSES)), flush=True)
        server = await asyncio.create_subprocess_exec(*Where(machine).command([sys.executable, "-c", SERVER]))
        try:
            await asyncio.sleep(1)
            print(row("one at 500/s, port open", 4, *await shares(space, seconds, 500, ADDRESSES[0])))
        finally:
            server.kill()
            await server.wait()


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--one-core"]
    asyncio.run(main(float(words[0]) if words else 60.0, one_core="--one-core" in sys.argv))
