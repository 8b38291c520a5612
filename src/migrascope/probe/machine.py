"""This machine and the processes on it: tables clock, machine, process_cpu.

Config: processes ({name: pid}), interval_s. A process that ends stops being recorded.
"""

import os
import select
import time
from contextlib import suppress
from pathlib import Path

from migrascope.model.clock import clock_pair
from migrascope.node.cpu import process_cpu_ns
from migrascope.node.program import Program
from migrascope.store.spool import Spool

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_times(stat: str) -> tuple[float, float]:
    """(busy, steal) of all cores together in seconds since boot, from /proc/stat. Guests' time is in busy once."""
    user, nice, system, _, _, irq, softirq, steal = (int(word) for word in stat.split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq) / _TICKS, steal / _TICKS


def available_bytes(meminfo: str) -> int:
    """MemAvailable of /proc/meminfo."""
    line = next(line for line in meminfo.splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def pressure_us(path: Path) -> int:
    """Total stall time (some) of a file of /proc/pressure in us; -1 where the kernel keeps none."""
    try:
        return int(path.read_text(encoding="ascii").split("\n", 1)[0].rpartition("total=")[2])
    except OSError:
        return -1


def rss_bytes(pid: int) -> int:
    """Resident memory of a process. OSError when there is no such process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE


class Watched:
    """The processes that still run. Each is held by a pidfd: a pid that is used again is not taken for the old one."""

    def __init__(self, processes: dict[str, int]) -> None:
        self._running: dict[int, tuple[str, int]] = {}
        for name, pid in processes.items():
            with suppress(ProcessLookupError):
                self._running[os.pidfd_open(pid)] = (name, pid)

    def record(self, spool: Spool) -> None:
        """One row for each process that runs."""
        for handle in select.select(list(self._running), [], [], 0)[0]:
            del self._running[handle]
            os.close(handle)
        for name, pid in self._running.values():
            with suppress(OSError):
                spool.add(time.monotonic_ns(), name, process_cpu_ns(pid) / 1e9, rss_bytes(pid))


async def main(program: Program) -> None:
    pressure = [Path("/proc/pressure") / name for name in ("cpu", "memory", "io")]
    watched = Watched(program.config["processes"])
    with program.spool("clock") as clock, program.spool("machine") as machine, program.spool("process_cpu") as cpu:
        clock.add(*clock_pair())
        clock.flush()
        program.ready()
        async for _ in program.grid(program.config["interval_s"], drain=False):
            clock.add(*clock_pair())
            machine.add(
                time.monotonic_ns(),
                *cpu_times(Path("/proc/stat").read_text(encoding="ascii")),
                *map(pressure_us, pressure),
                available_bytes(Path("/proc/meminfo").read_text(encoding="ascii")),
            )
            watched.record(cpu)


if __name__ == "__main__":
    Program.from_argv().run(main)
