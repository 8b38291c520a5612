"""What every probe, visitor and viewer is: a process of its own that records until it is told to stop.

    python -m migrascope.probe.echo '{"directory": ..., "source": "echo", "host": "client", ...}'

It prints "ready" when it records. SIGUSR1: send nothing new, go on recording what still comes. SIGTERM (or SIGINT):
write everything and end with 0.
"""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from migrascope.store.spool import Spool


class Program:
    """The configuration of this process and whether it may still send. Keys that every one has: directory, source,
    host, instance, migration."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.draining = False
        """Whether nothing new may be sent."""
        self.ending = False
        """Whether the process is to write everything and end."""
        self._drained = asyncio.Event()
        self._ended = asyncio.Event()
        self._spools: list[Spool] = []

    @classmethod
    def from_argv(cls) -> "Program":
        """The program whose configuration is the JSON of the only argument; its signals are handled from here on."""
        if len(sys.argv) != 2:
            raise SystemExit("this program is started by migrascope: it takes one JSON argument")
        program = cls(json.loads(sys.argv[1]))
        signal.signal(signal.SIGUSR1, lambda *_: program.stop(ending=False))
        signal.signal(signal.SIGTERM, lambda *_: program.stop(ending=True))
        signal.signal(signal.SIGINT, lambda *_: program.stop(ending=True))
        return program

    def stop(self, *, ending: bool) -> None:
        """What the signals do: drain, or drain and end."""
        self.draining = True
        self._drained.set()
        if ending:
            self.ending = True
            self._ended.set()

    def spool(self, table: str, **given: str) -> Spool:
        """A spool of this process for one table; given, source and host stand for the configuration's."""
        config = self.config | given
        spool = Spool(
            Path(config["directory"]),
            table,
            source=config["source"],
            host=config["host"],
            instance=config["instance"],
            migration=config["migration"],
        )
        self._spools.append(spool)
        return spool

    def tick(self) -> None:
        """Writes what waits in the spools of this process, if it has waited long enough."""
        for spool in self._spools:
            spool.tick()

    @staticmethod
    def ready() -> None:
        """Tells the parent that recording has begun."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    def run(self, main: Callable[["Program"], Awaitable[None]]) -> None:
        """Runs an asyncio program; a signal wakes `drained`, `ended` and `grid`."""

        async def wrapped() -> None:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, lambda: self.stop(ending=False))
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, lambda: self.stop(ending=True))
            await main(self)

        asyncio.run(wrapped())

    async def drained(self) -> None:
        """Waits until nothing new may be sent."""
        await self._drained.wait()

    async def ended(self) -> None:
        """Waits until the process is to end."""
        await self._ended.wait()

    async def due(self, due_ns: int, *, drain: bool = True) -> bool:
        """Waits for a monotonic stamp: True when it has come, False as soon as the program drains (with drain=False:
        ends). A stamp that has passed is answered at once."""
        stop = self._drained if drain else self._ended
        left = due_ns - time.monotonic_ns()
        if left > 0 and not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left / 1e9):
                    await stop.wait()
        return not stop.is_set()

    async def grid(self, interval_s: float, *, drain: bool = True) -> AsyncIterator[int]:
        """Due stamps on an absolute monotonic grid, from now until the program drains (with drain=False: ends). One
        that was missed by a whole interval is left out, not made up for."""
        interval, due = round(interval_s * 1e9), time.monotonic_ns()
        while await self.due(due, drain=drain):
            yield due
            due += interval * max(1, -((due - time.monotonic_ns()) // interval))

    def ticks(self, interval_s: float) -> Iterator[None]:
        """As `grid`, until the program ends, for a process that waits for nothing else: without an event loop a wake-up
        costs half."""
        interval, due = round(interval_s * 1e9), time.monotonic_ns()
        while not self.ending:
            yield
            due += interval * max(1, -((due - time.monotonic_ns()) // interval))
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)

    async def schedule(self, first_ns: int, rate: float) -> AsyncIterator[int]:
        """Due stamps from first_ns on, `rate` of them a second, until the program drains. None is left out: one that
        was missed comes late."""
        seq = 0
        while await self.due(due := first_ns + round(seq * 1e9 / rate)):
            yield due
            seq += 1

    async def at_each(self, dues: AsyncIterator[int], job: Callable[[int, int], Coroutine[Any, Any, None]]) -> None:
        """Starts job(seq, due_ns) at each due stamp, whether or not the ones before are done. Those that still run
        when the program ends are cancelled; one that raises ends them all."""
        async with asyncio.TaskGroup() as jobs:
            running: set[asyncio.Task[None]] = set()
            seq = 0
            async for due in dues:
                task = jobs.create_task(job(seq, due))
                running.add(task)
                task.add_done_callback(running.discard)
                seq += 1
            await self.ended()
            for task in running:
                task.cancel()
