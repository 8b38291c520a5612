"""What a host or a store has run out of."""

import resource

from migrascope.lab.qemu.volume import Volume
from migrascope.node.memory import MemoryLimit, place
from migrascope.node.process import Process
from migrascope.node.register import Register

_MORE = 4 * 2**20


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
    """The store of the volume takes no more: every write is answered with "no space left on device", and QEMU stops the
    guest (werror=enospc, its default)."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def _limit(self, size: int) -> None:
        process = self._volume.process
        if process is not None and not process.ended:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        self._limit(1)
        return ""

    async def heal(self) -> None:
        self._limit(resource.RLIM_INFINITY)
