"""What every probe, visitor and viewer is: a process of its own that records until it is told to stop.

    python -m migrascope.probe.echo '{"directory": ..., "source": "echo", "host": "client", ...}'

It prints "ready" when it records. SIGUSR1: send nothing new, go on recording what still comes. SIGTERM (or SIGINT):
write everything and end with 0.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from migrascope.store.spool import Spool


class Program:
    """The configuration of this process and whether it may still send. Keys that every one has: directory, source,
    host, instance, migration."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.draining = False
        self.ending = False
        self._changed: asyncio.Event | None = None

    @classmethod
    def from_argv(cls) -> "Program":
        """The program whose configuration is the JSON of the only argument; its signals are handled from here on."""
        if len(sys.argv) != 2:
            raise SystemExit("this program is started by migrascope: it takes one JSON argument")
        program = cls(json.loads(sys.argv[1]))
        signal.signal(signal.SIGUSR1, lambda *_: program._signalled(ending=False))
        signal.signal(signal.SIGTERM, lambda *_: program._signalled(ending=True))
        signal.signal(signal.SIGINT, lambda *_: program._signalled(ending=True))
        return program

    def _signalled(self, *, ending: bool) -> None:
        self.draining = True
        self.ending = self.ending or ending
        if self._changed is not None:
            self._changed.set()

    def spool(self, table: str) -> Spool:
        """A spool of this process for one table."""
        config = self.config
        return Spool(
            Path(config["directory"]),
            table,
            source=config["source"],
            host=config["host"],
            instance=config["instance"],
            migration=config["migration"],
        )

    @staticmethod
    def ready() -> None:
        """Tells the parent that recording has begun."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    def run(self, main: Callable[["Program"], Awaitable[None]]) -> None:
        """Runs an asyncio program; `changed` wakes it at each signal."""

        async def wrapped() -> None:
            self._changed = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, lambda: self._signalled(ending=False))
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, lambda: self._signalled(ending=True))
            await main(self)

        asyncio.run(wrapped())

    async def changed(self) -> None:
        """Waits for the next signal (draining or ending)."""
        assert self._changed is not None
        await self._changed.wait()
        self._changed.clear()
