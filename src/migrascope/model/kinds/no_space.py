"""**What it does.** A disk is full: every write fails with "no space left on device". target: `storage`, the store of
the volume that both hosts reach: QEMU stops the guest until somebody lets it go on, on whichever host it is.
`destination`, the host's own disk, to which the volume is copied (`axes.storage = ["copied"]`): the copy fails, and the
migration with it.

**How.** The server of the volume (qemu-nbd), or the destination's QEMU, may not write to any file (RLIMIT_FSIZE), and
says so by NBD as ENOSPC. The guest of a full store is stopped, which is QEMU's default (`werror=enospc`). Healed, the
limit is gone, but a guest that was stopped stands still until an operator gives `cont`.

**What it needs.** Nothing; of the `destination`, a volume that is copied.

The lab `libvirt` has it of the `storage` alone: its libvirt starts a QEMU with the kernel's own answer to such a write,
which is to kill it.

**Limits.** All writes fail, as in a thin pool in which each one needs new room, not only those to new places. A
destination's QEMU cannot write its log meanwhile."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class NoSpace(Kind):
    name = "no-space"
    ability = "failure of a store"
    does = "the volume's store, or a copy's, takes no writes"
    how = "qemu-nbd, or the destination's QEMU, may write to no file"
    targets = ("storage", "destination")
    labs = ("qemu", "libvirt")

    def targets_of(self, lab: str) -> tuple[str, ...]:
        return ("storage",) if lab == "libvirt" else super().targets_of(lab)

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.fill_store() if disturbance.target == "storage" else tools.fill_host(disturbance.target)
