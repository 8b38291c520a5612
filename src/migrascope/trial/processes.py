"""The processes that observe a trial and those that use the website: each in its namespace, with one configuration."""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

from migrascope.lab.runtime import Program, Runtime
from migrascope.node.process import ProcessError
from migrascope.node.process_spec import ProcessSpec
from migrascope.trial.runtime import MACHINE

READY_S = 60.0
"""Maximum time to wait for programs that start: a dozen load Python at once, on hosts that may be busy."""


class Processes:
    """The programs of one trial, started and ended together."""

    def __init__(self, directory: Path, logs: Path, instance: str, migration: str, runtime: Runtime = MACHINE) -> None:
        self._directory, self._logs = directory, logs
        self._instance, self._migration, self._runtime = instance, migration, runtime
        self.processes: dict[str, Program] = {}

    async def start(self, members: Sequence[ProcessSpec]) -> None:
        """Starts all and waits until each records. ProcessError names the one that does not."""
        for member in members:
            config = {
                "directory": str(self._directory), "source": member.source, "host": member.host,
                "instance": self._instance, "migration": self._migration, **member.config,
            }  # fmt: skip
            log = self._logs / f"{member.source}.log"
            self.processes[member.source] = await self._runtime.start(member, config, log)
        await asyncio.gather(*(self.processes[member.source].ready(READY_S) for member in members))

    def pids(self) -> dict[str, int]:
        return {source: process.pid for source, process in self.processes.items() if not process.ended}

    def check(self) -> None:
        """ProcessError if one has ended unasked."""
        for process in self.processes.values():
            if process.ended:
                raise ProcessError(process.problem())

    def drain(self) -> None:
        """Nothing new is sent from now on; what still comes is recorded."""
        for process in self.processes.values():
            process.send(signal.SIGUSR1)

    async def stop(self) -> None:
        """Ends all; each writes what it has."""
        await asyncio.gather(*(process.stop() for process in self.processes.values()))
