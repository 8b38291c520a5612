"""**What it does.** A process beside the `source` or the `destination` holds `working_set` bytes (1MiB at least) and
writes them all the time.

**How.** A process in the host, which has filled its memory before, and stands still until its moment.

**What it needs.** That much memory of this machine, and a GiB to spare; without it the trial fails before its
migration and says what there is.

**Limits.** It takes memory, caches and the memory's bandwidth, and a processor. Nothing is pushed out to disk: where
the machine has room for all, nobody is short of it."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import HOST_SIDES, Injector, Kind, Tools, given

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class HostMemory(Kind):
    name = "host-memory"
    ability = "stress on a host"
    does = "a process that holds and writes memory on a host"
    how = "a process that holds memory and writes it all the time"
    targets = HOST_SIDES
    needs = ("working_set",)
    dose = ("working_set", "B")

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.hold_memory(disturbance.target, given(disturbance.working_set))

    def memory_bytes(self, disturbance: "Disturbance") -> int:
        return disturbance.working_set or 0
