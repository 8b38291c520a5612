"""What libvirt and QEMU say of a domain on each host: tables qmp_event, qmp_status, libvirt_event, libvirt_job and
host_clock.

Config: hosts ({host: {uri, python: the command of a Python with libvirt's module}}), domain (UUID), interval_s (0:
events only), monitor (false: QEMU is not asked through its monitor, so that libvirt does not call the domain tainted;
the tables qmp_status and host_clock stay empty). For each host one such Python runs files/domain.py; what it prints is
recorded here. QEMU's own events carry QEMU's stamp, libvirt's life-cycle events none. QEMU is asked through libvirt,
which lets a query pass while it migrates. persist: a host whose libvirt goes away is watched again as soon as it is
back, and in between it has not answered; else its going away ends this program.
"""

import asyncio
import json
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from migrascope.node.child import first_line, kill
from migrascope.node.program import Program

SCRIPT = Path(__file__).parent / "files" / "domain.py"
TABLES = ("qmp_event", "qmp_status", "libvirt_event", "libvirt_job", "host_clock")
_READY_S = 20.0
_AGAIN_S = 0.5


class HostFailed(Exception):
    """A host's watcher that ended or did not begin."""


class Host:
    """One host's watcher, and the spools of what it says."""

    def __init__(self, program: Program, name: str, how: dict[str, Any], stack: AsyncExitStack) -> None:
        given = {"source": f"libvirt-{name}", "host": name}
        self._name, self._uri, self._python = name, how["uri"], how["python"]
        self._config = {"uri": how["uri"], **{key: program.config[key] for key in ("domain", "interval_s")}}
        self._config["monitor"] = self._monitor = program.config.get("monitor", True)
        self._program = program
        self._spools = {table: stack.enter_context(program.spool(table, **given)) for table in TABLES}
        self._child: asyncio.subprocess.Process

    async def begin(self) -> None:
        """Starts it. HostFailed when it does not watch."""
        child = await asyncio.create_subprocess_exec(
            *self._python, "-c", SCRIPT.read_text(encoding="utf-8"), json.dumps(self._config),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20,
        )  # fmt: skip
        self._child = child
        if (await first_line(child, _READY_S)).strip() != b'["ready"]':
            await kill(child)
            raise HostFailed(f"libvirt on {self._name} ({self._uri}) cannot be watched")

    async def record(self, *, persist: bool) -> None:
        """Records what it says until it ends; persist: and begins again until the program ends."""
        while True:
            assert self._child.stdout is not None
            async for line in self._child.stdout:
                if not line.endswith(b"\n"):
                    break  # cut off with its host
                table, *row = json.loads(line)
                self._spools[table].add(*row)
                self._spools[table].flush()
            await self._child.wait()
            if not persist or self._program.ending:
                return
            while not self._program.ending:
                if self._monitor:
                    self._spools["qmp_status"].add(time.monotonic_ns(), 0, "query-status", "")
                await asyncio.sleep(_AGAIN_S)
                with suppress(HostFailed):
                    await self.begin()
                    break
            if self._program.ending:
                self.end()

    def end(self) -> None:
        """Has it ask for the completed job's figures once more, and end."""
        assert self._child.stdin is not None
        self._child.stdin.close()


async def main(program: Program) -> None:
    async with AsyncExitStack() as stack:
        hosts = [Host(program, name, how, stack) for name, how in program.config["hosts"].items()]
        for host in hosts:
            await host.begin()
        persist = program.config.get("persist", False)
        tasks = [asyncio.create_task(host.record(persist=persist)) for host in hosts]
        program.ready()
        ended = asyncio.create_task(program.ended())
        await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if not program.ending:
            raise HostFailed("a host's libvirt went away")
        for host in hosts:
            host.end()
        await asyncio.wait_for(asyncio.gather(*tasks), _READY_S)


if __name__ == "__main__":
    Program.from_argv().run(main)
