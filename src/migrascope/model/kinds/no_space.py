"""**What it does.** The store of the volume is full: every write fails with "no space left on device". QEMU stops the
guest until somebody lets it go on, on whichever host it is. target: `storage`.

**How.** The server of the volume (qemu-nbd) may not write to any file (RLIMIT_FSIZE), and says so to QEMU as ENOSPC;
QEMU stops the guest, which is its default (`werror=enospc`). Healed, the limit is gone, but the guest stands still
until an operator gives `cont`.

**What it needs.** Nothing.

**Limits.** All writes fail, as in a thin pool in which each one needs new room, not only those to new places. On this
lab the destination writes nothing of a guest's to disks of its own: a full disk there is no failure of a migration."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class NoSpace(Kind):
    name = "no-space"
    ability = "failure of a store"
    does = "the volume's store takes no more writes"
    how = "the volume's server answers every write: no space left"
    targets = ("storage",)

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.fill_store()
