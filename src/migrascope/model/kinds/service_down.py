"""**What it does.** A service dies and stays down for `duration`. Services and targets are those of
[service-kill](service-kill.md).

**How.** SIGKILL to the main process of its unit, then `systemctl stop`, for libvirt of its sockets too, which would
start it again. Healing starts all of them.

**What it needs.** The testbed, or the lab `libvirt`.

**Limits.** "Took effect" is the SIGKILL; systemd may have begun to start the service again before the stop reaches
it, 0.1 s later."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import Injector, Tools, given
from migrascope.model.kinds.services import ServiceKind

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class ServiceDown(ServiceKind):
    name = "service-down"
    does = "a service is down"
    how = "SIGKILL to a service, which systemd then keeps down"

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.kill_service(disturbance.target, given(disturbance.service), stay=True)
