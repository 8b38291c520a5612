"""**What it does.** A service hangs, and goes on after `duration`: libvirt (`service = "libvirt"`) on the `source` or
the `destination`. It answers nobody, and says nothing to the other libvirt nor to its QEMUs.

**How.** SIGSTOP to its process, and SIGCONT.

**What it needs.** The lab `libvirt`.

**Limits.** Its QEMUs go on. A source that waits for libvirt's word at its switchover keeps the guest stopped until
then."""

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
    labs = ("libvirt",)

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.freeze_service(disturbance.target, given(disturbance.service))
