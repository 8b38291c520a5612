"""**What it does.** Another client of the store writes blocks of 64 KiB at random places of `working_set` (1 MiB to 4
GiB), each on the store before the next, `write_rate` (65536B/s at least) or as much as the store takes. target:
`storage`.

**How.** On the lab `qemu` a process in the node `storage` writes to a file beside the instance's volume, on the same
file system, and waits for the disk after each block (fdatasync). On OpenStack a program on the controller writes to
Ceph's pool `volumes`, into objects of 4 MiB as volumes have them, in the namespace `migrascope`. All of `working_set`
is written once before; "took effect" is the first block that the store has confirmed after that. The note of the
trial has the rate that was reached, counted from there to the end, and the slowest block. What the store was too slow
for is not made up for.

**What it needs.** Room on this machine's disk: `working_set`, on the testbed twice that, and a GiB to spare. A plan
that wants more is refused before the lab starts.

**Limits.** One block is under way at a time, so a store that takes long to answer is not driven to its limit. All
nodes of the testbed share this machine's disk. The file has no name and goes with its process; the objects are
removed when the disturbance is healed, and what a killed run left when the next one begins. Ceph keeps the space on
this machine's disk, for its next objects, until the testbed is purged."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import EVERY, Injector, Tools, given
from migrascope.model.kinds.stores import StoreKind

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance

BLOCK_BYTES = 2**16
"""What load on a store writes at once."""


class StorageLoad(StoreKind):
    name = "storage-load"
    does = "another client of the store writes at a set rate"
    how = "a client of the store writes blocks at a set rate"
    targets = ("storage",)
    needs = ("write_rate", "working_set")
    labs = EVERY
    dose = ("write_rate", "B/s")

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.load_store(given(disturbance.working_set), given(disturbance.write_rate))

    def problem(self, disturbance: "Disturbance") -> str | None:
        if (disturbance.write_rate or 0) < BLOCK_BYTES:
            return "write_rate: 65536B/s to 100GB/s: a block of 64KiB each second at least"
        return super().problem(disturbance)
