"""**What it does.** A service hangs, and goes on after `duration`. On the lab `libvirt` that is libvirt (`service =
"libvirt"`) on the `source` or the `destination`: it answers nobody, and says nothing to the other libvirt nor to its
QEMUs. On the testbed it is any service of [service-kill](service-kill.md): an `ovn-controller` that hangs installs its
flows so much later, a database that hangs answers so much later, and an `open-vswitch` in user space passes no frame.

**How.** SIGSTOP to its processes, and SIGCONT. On the testbed these are all of its unit of systemd.

**What it needs.** The testbed, or the lab `libvirt`. A service that it does not have fails the trial, with its name,
before the migration.

**Limits.** On the lab `libvirt` its QEMUs go on. A source that waits for libvirt's word at its switchover keeps the
guest stopped until then."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import HOST_SIDES, Injector, Tools, given
from migrascope.model.kinds.services import ServiceKind

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class ServiceFreeze(ServiceKind):
    name = "service-freeze"
    does = "a service hangs"
    how = "SIGSTOP to a service, and SIGCONT"
    targets = HOST_SIDES
    beside = ("controller",)

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.freeze_service(disturbance.target, given(disturbance.service))
