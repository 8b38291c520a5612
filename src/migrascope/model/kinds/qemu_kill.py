"""**What it does.** The QEMU of the `source` or the `destination` ends at once.

**How.** SIGKILL.

**What it needs.** Nothing.

**Limits.** Nothing heals it but the [operator](README.md#the-operator), who starts the guest again if it runs
nowhere."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import EVERY, HOST_SIDES, Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class QemuKill(Kind):
    name = "qemu-kill"
    ability = "failure of a process"
    does = "QEMU ends at once"
    how = "SIGKILL"
    targets = HOST_SIDES
    instant = True
    labs = EVERY

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.kill_qemu(disturbance.target)
