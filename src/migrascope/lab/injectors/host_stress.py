"""Processes in a host's namespace that take its processors, its memory or its link."""

import signal
import sys
from pathlib import Path

from migrascope.lab.injectors import stressor
from migrascope.node.process import Process, Where, start

_READY_S = 20.0


class HostStress:
    """Stressors in a host's namespace that stand still (SIGSTOP) until they are let go, and are killed afterwards.

    words: what stressor.py is told.
    """

    def __init__(self, name: str, words: list[str], count: int, where: Where, log: Path) -> None:
        self._argv = [sys.executable, "-I", "-S", stressor.__file__, *words]
        self._name, self._count, self._where, self._log = name, count, where, log
        self._processes: list[Process] = []

    async def arm(self) -> None:
        for _ in range(self._count):
            process = await start(self._name, self._argv, self._where, self._log, piped=True)
            self._processes.append(process)
            await process.ready(_READY_S)
            process.send(signal.SIGSTOP)

    async def apply(self) -> str:
        for process in self._processes:
            process.send(signal.SIGCONT)
        return ""

    async def heal(self) -> None:
        for process in self._processes:
            await process.kill()
        self._processes = []
