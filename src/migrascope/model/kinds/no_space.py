"""**What it does.** A disk is full: every write fails with "no space left on device". target: `storage`, the store of
the volume that both hosts reach: QEMU stops the guest until somebody lets it go on, on whichever host it is.
`destination`, the host's own disk, to which the volume is copied (`axes.storage = ["copied"]`): the copy fails, and the
migration with it.

**How.** The server of the volume (qemu-nbd), or on the lab `qemu` the destination's QEMU, may not write to any file
(RLIMIT_FSIZE), and says so by NBD as ENOSPC. On the lab `libvirt`, whose QEMUs such a write would kill, the
destination's folder of volumes is a file system of its own in memory (tmpfs), from before the migration to the end of
the trial; when it is due, its size is set to what is in use and 4 MiB. The guest of a full store is stopped, which is
QEMU's default (`werror=enospc`). Healed, the limit is gone, but a guest that was stopped stands still until an operator
gives `cont`.

**What it needs.** Nothing; of the `destination`, a volume that is copied, and on the lab `libvirt` as much memory of
this machine as of the volume is copied.

**Limits.** By RLIMIT_FSIZE all writes fail, as in a thin pool in which each one needs new room, not only those to new
places, and a destination's QEMU cannot write its log meanwhile. On a full file system those fail that need room: what
is written over needs none."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class NoSpace(Kind):
    name = "no-space"
    ability = "failure of a store"
    does = "the volume's store, or a copy's, takes no writes"
    how = "qemu-nbd or QEMU may not write; libvirt: the disk is full"
    targets = ("storage", "destination")
    labs = ("qemu", "libvirt")

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.fill_store() if disturbance.target == "storage" else tools.fill_host(disturbance.target)
