"""What libvirt and QEMU say of a domain on each host: tables qmp_event, qmp_status, libvirt_event, libvirt_job and
host_clock.

Config: hosts ({host: {uri, python: the command of a Python with libvirt's module}}), domain (UUID), interval_s (0:
events only). For each host one such Python runs files/domain.py; what it prints is recorded here. QEMU's own events
carry QEMU's stamp, libvirt's life-cycle events none. QEMU is asked through libvirt, which lets a query pass while it
migrates.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from migrascope.node.program import Program
from migrascope.store.spool import Spool

SCRIPT = Path(__file__).parent / "files" / "domain.py"
TABLES = ("qmp_event", "qmp_status", "libvirt_event", "libvirt_job", "host_clock")
_READY_S = 20.0


class HostFailed(Exception):
    """A host's watcher that ended or did not begin."""


async def _watch(program: Program, host: str, how: dict[str, Any], stack: AsyncExitStack) -> asyncio.Task[None]:
    """Starts one host's watcher and gives the task that records it, when it watches."""
    given = {"source": f"libvirt-{host}", "host": host}
    spools = {table: stack.enter_context(program.spool(table, **given)) for table in TABLES}
    told = json.dumps(
        {"uri": how["uri"], "domain": program.config["domain"], "interval_s": program.config["interval_s"]}
    )
    child = await asyncio.create_subprocess_exec(
        *how["python"], "-c", SCRIPT.read_text(encoding="utf-8"), told,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20,
    )  # fmt: skip
    assert child.stdout is not None
    if (await asyncio.wait_for(child.stdout.readline(), _READY_S)).strip() != b'["ready"]':
        raise HostFailed(f"libvirt on {host} ({how['uri']}) cannot be watched")
    task = asyncio.create_task(_record(child.stdout, spools))

    async def end() -> None:
        assert child.stdin is not None
        child.stdin.close()  # it asks for the completed job's figures once more, and ends
        await asyncio.wait_for(task, _READY_S)
        await child.wait()

    stack.push_async_callback(end)
    return task


async def _record(stream: asyncio.StreamReader, spools: dict[str, Spool]) -> None:
    async for line in stream:
        table, *row = json.loads(line)
        spools[table].add(*row)
        spools[table].flush()


async def main(program: Program) -> None:
    async with AsyncExitStack() as stack:
        hosts = program.config["hosts"].items()
        tasks = [await _watch(program, host, how, stack) for host, how in hosts]
        program.ready()
        ended = asyncio.create_task(program.ended())
        await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if not program.ending:
            raise HostFailed("a host's libvirt went away")


if __name__ == "__main__":
    Program.from_argv().run(main)
