"""A QEMU that a libvirt has started, killed or frozen."""

import os
import signal
from collections.abc import Callable


class QemuSignal:
    """SIGKILL to a QEMU, or SIGSTOP and SIGCONT. find: gives its number on this machine, ProcessLookupError where there
    is none; it is looked for when it is struck, for the destination's begins late."""

    def __init__(self, find: Callable[[], int], *, freeze: bool) -> None:
        self._find, self._freeze = find, freeze
        self._stopped = 0

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        pid = self._find()
        os.kill(pid, signal.SIGSTOP if self._freeze else signal.SIGKILL)
        self._stopped = pid if self._freeze else 0
        return ""

    async def heal(self) -> None:
        pid, self._stopped = self._stopped, 0
        if pid:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                return
