"""Whether this machine has room for what a disturbance takes of it."""

import shutil
from pathlib import Path

from migrascope.model.disturbance import Disturbance
from migrascope.model.problem import Problem
from migrascope.node.paths import STATE

_MARGIN = 2**30


def need_capacity(disturbance: Disturbance, lab: str) -> None:
    """Problem where this machine does not have as much memory, or as much of its disk, and a GiB beside it."""
    if memory := disturbance.made.memory_bytes(disturbance):
        _need(disturbance.kind, memory, _free_memory(), "this machine")
    if disk := disturbance.made.disk_bytes(disturbance, lab):
        place = next(path for path in (STATE, *STATE.parents) if path.exists())
        _need(disturbance.kind, disk, shutil.disk_usage(place).free, f"the disk of {place}")


def _need(kind: str, size: int, free: int, where: str) -> None:
    if size > free - _MARGIN:
        spare = max(0, free - _MARGIN) // 2**20
        raise Problem(f"{kind}: working_set: {where} has {spare} MiB to spare, of {size // 2**20} MiB")


def _free_memory() -> int:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024
