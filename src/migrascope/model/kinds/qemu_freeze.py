"""**What it does.** The QEMU of the `source` or the `destination` stands still, as on a host that hangs, and goes on.

**How.** SIGSTOP, and SIGCONT after `duration`.

**What it needs.** Nothing.

**Limits.** A frozen QEMU answers nothing. Its monitor is waited for, 5 s and the downtime limit, and then the
migration counts as failed. Its kernel lives, so that connections stay open and TCP acknowledges what fits in the
sockets."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import EVERY, HOST_SIDES, Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class QemuFreeze(Kind):
    name = "qemu-freeze"
    ability = "failure of a process"
    does = "QEMU stands still"
    how = "SIGSTOP, and SIGCONT"
    targets = HOST_SIDES
    labs = EVERY

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.freeze_qemu(disturbance.target)
