"""The events of the QEMU that is the source of a migration, as they come: through libvirt, stamped by QEMU."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path

from migrascope.lab.disturbable import See
from migrascope.model.problem import Problem
from migrascope.node.child import first_line, kill

SCRIPT = Path(__file__).parent / "files" / "events.py"
_READY_S = 20.0


class EventWatch:
    """Tells every event of one domain, the UUID of which is given. Close it."""

    def __init__(self, python: Sequence[str], uri: str, domain: str, see: See) -> None:
        self._argv = [*python, "-c", SCRIPT.read_text(encoding="utf-8"), uri, domain]
        self._see = see
        self._child: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._beginning: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins; `ready` waits for it."""
        self._beginning = asyncio.create_task(self.begin())

    async def ready(self) -> None:
        """Returns when it hears. Problem when libvirt cannot be heard."""
        if self._beginning is not None:
            await self._beginning

    async def begin(self) -> None:
        """Returns when it hears. Problem when libvirt cannot be heard."""
        self._child = child = await asyncio.create_subprocess_exec(
            *self._argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, limit=2**20
        )
        line = await first_line(child, _READY_S)
        assert child.stdout is not None
        self._task = asyncio.create_task(self._tell(child.stdout))
        if not line.startswith(b'["ready"'):
            await self.close()
            raise Problem("libvirt's events of the source cannot be heard")

    async def _tell(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            if line.endswith(b"\n"):
                event, wall_ns, data = json.loads(line)
                self._see(event, data, wall_ns - time.time_ns() + time.monotonic_ns())

    async def close(self) -> None:
        """Ends it, whatever became of it."""
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.gather(self._beginning, return_exceptions=True)
        if self._task is not None:
            self._task.cancel()
        if self._child is not None:
            await kill(self._child)
