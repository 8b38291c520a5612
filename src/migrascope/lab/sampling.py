"""What a guest of this machine dirties and holds: by its QEMU's own samples, and by what is in the process's memory."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from migrascope.model.problem import Problem
from migrascope.node.wait import wait_until

PAGE = 4096
Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Gives what QEMU's monitor answers to a command with these arguments."""
_LOOK_S = 0.01
_LATE_S = 10.0
"""Maximum time for QEMU to hash its pages, beside the period."""
_ROUNDED_BYTES = 2**20
"""By less than so much a guest has more memory than was asked for: QEMU rounds up to 8 KiB, libvirt to 1 MiB."""


async def dirtied(ask: Ask, period_s: float, pages: int) -> dict[str, Any]:
    """QEMU's answer to query-dirty-rate once it has measured over a period: a rate in whole MiB/s, rounded down, of the
    pages whose content has changed. pages: how many of each GiB it looks at, 128 to 16384.

    Problem where QEMU refuses, as before 8.2, which knows whole seconds only; WaitTimeout where it does not come to an
    end.
    """
    arguments = {"calc-time": round(1000 * period_s), "calc-time-unit": "millisecond", "sample-pages": pages}
    await ask("calc-dirty-rate", arguments)
    await asyncio.sleep(period_s)  # before that there is none, and each question takes time from the guest
    answer: dict[str, Any] = {}

    async def measured() -> bool:
        answer.update(await ask("query-dirty-rate", {}))
        return bool(answer["status"] == "measured")

    await wait_until(measured, _LATE_S, "QEMU has measured the dirty rate", _LOOK_S)
    return answer


def filled(pid: int, memory_bytes: int, pages: int, proc: Path = Path("/proc")) -> int:
    """Of so many pages of a guest's memory, how many hold something but zeros: one at random of each of as many equal
    stretches, since what is held lies together, and most stretches are all of one kind. pid: of its QEMU, in whose
    address space the memory is one mapping of that size. Problem where there is none, or more than one."""
    found = [
        (begin, end)
        for begin, end, kind in _mappings(proc / str(pid) / "maps")
        if 0 <= end - begin - memory_bytes < _ROUNDED_BYTES and kind.startswith("rw-")
    ]
    if len(found) != 1:
        raise Problem(f"the guest's memory was not found in process {pid}: {len(found)} mappings are of its size")
    begin, end = found[0]
    count = (end - begin) // PAGE
    wanted = min(pages, count)
    chosen = [random.randrange(at * count // wanted, (at + 1) * count // wanted) for at in range(wanted)]
    try:
        memory = os.open(proc / str(pid) / "mem", os.O_RDONLY)
    except OSError as error:
        raise Problem(f"the memory of process {pid} cannot be read: {error.strerror}") from error
    try:
        return sum(any(os.pread(memory, PAGE, begin + page * PAGE)) for page in chosen)
    except OSError as error:
        raise Problem(f"the memory of process {pid} cannot be read: {error.strerror}") from error
    finally:
        os.close(memory)


def _mappings(path: Path) -> list[tuple[int, int, str]]:
    """Begin, end and permissions of each."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from error
    rows = []
    for line in lines:
        where, kind, *_ = line.split()
        begin, end = (int(number, 16) for number in where.split("-"))
        rows.append((begin, end, kind))
    return rows
