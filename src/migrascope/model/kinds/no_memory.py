"""**What it does.** The host of the `source` or the `destination` has no memory left for its QEMU: as soon as that
wants more, it is killed.

**How.** QEMU is moved to a cgroup of its own before the request. At its moment the cgroup may hold 4 MiB more than it
does, and no swap; the kernel kills what wants more (OOM). What a destination held before is not counted, so it dies
within the next 4 MiB of the guest's memory. Healed, there is no limit, and the cgroup is gone.

**What it needs.** A cgroup hierarchy with the memory controller, of version 1 or 2, that root may write to.

**Limits.** A source that holds all its guest's memory may want nothing more, and live. A destination that cannot even
start is another failure: QEMU says so at once, and nothing has begun."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import HOST_SIDES, MEMORY_LIMIT, Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class NoMemory(Kind):
    name = "no-memory"
    ability = "failure of a host"
    does = "the kernel kills a QEMU that wants more memory"
    how = "a memory limit (cgroup); the kernel kills a QEMU above it"
    targets = HOST_SIDES
    kernel = (MEMORY_LIMIT,)

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.starve_qemu(disturbance.target)
