"""QEMUs that are killed or frozen."""

import signal

from migrascope.node.process import Process


class Kill:
    """SIGKILL to a QEMU. What heals it is that each trial has fresh ones."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        self._process.send(signal.SIGKILL)
        return ""

    async def heal(self) -> None:
        return


class Freeze:
    """SIGSTOP to a QEMU, and SIGCONT."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        self._process.send(signal.SIGSTOP)
        return ""

    async def heal(self) -> None:
        self._process.send(signal.SIGCONT)
