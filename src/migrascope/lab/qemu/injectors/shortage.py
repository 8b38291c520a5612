"""What a host or a store has run out of."""

import resource
from collections.abc import Callable

from migrascope.node.memory import MemoryLimit, place
from migrascope.node.process import Process
from migrascope.node.register import Register

_MORE = 4 * 2**20
_LOG_BYTES = 4096
"""What a process that has no space may write of its log, which says why it ends. No volume's data lie so near the begin
of its file."""


class NoMemory:
    """A QEMU gets 4 MiB more than it holds: the kernel kills it when it wants more, as on a host without memory."""

    def __init__(self, register: Register, process: Process) -> None:
        self._register, self._process = register, process
        self._limit: MemoryLimit | None = None

    async def arm(self) -> None:
        path = place(f"{self._register.id}-memory")
        self._register.cgroup(path)
        self._limit = MemoryLimit(path)
        self._limit.hold(self._process.pid)

    async def apply(self) -> str:
        assert self._limit is not None
        self._limit.set(_MORE)
        return ""

    async def heal(self) -> None:
        if self._limit is not None:
            self._limit.lift()


class NoSpace:
    """A process may write to no file beyond its first page: what it serves is answered with "no space left on device".
    Of a volume's server, QEMU then stops the guest (werror=enospc, its default); of a destination, the copy of the
    volume fails."""

    def __init__(self, pid: Callable[[], int | None]) -> None:
        """pid: of the process that writes; None where there is none any more."""
        self._pid = pid

    def _limit(self, size: int) -> None:
        if (pid := self._pid()) is not None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        self._limit(_LOG_BYTES)
        return ""

    async def heal(self) -> None:
        self._limit(resource.RLIM_INFINITY)
