"""**What it does.** A service dies once. `service`: `libvirt`, `nova-compute`, `l2-agent`
(neutron-openvswitch-agent) or `ceph-osd`, with target `source` or `destination`; `rabbitmq`, `database` or
`ceph-mon`, with target `controller`. On a [testbed with OVN](../testbed.md#ovn), instead of `l2-agent`:
`ovn-controller`, with target `source` or `destination`, or `controller`, which is the gateway chassis, whichever of the
two it is; `open-vswitch`, the switch itself (`ovs-vswitchd`), with the same targets; `ovn-northd`, `ovn-northbound` or
`ovn-southbound` (its databases), with target `controller`. On the lab `libvirt`: `libvirt` alone.

**How.** SIGKILL to the main process of its unit. systemd starts it again after 0.1 s (nova-compute, libvirt, the
agent, Open vSwitch), 5 s (MariaDB) or 10 s (RabbitMQ, Ceph), as Debian's units say; it then needs seconds to be of
use. On the lab `libvirt` it is started again after 0.1 s, too.

**What it needs.** The testbed, or the lab `libvirt`. A service that it does not have fails the trial, with its name,
before the migration.

**Limits.** The flows of an `ovn-controller` that is killed stay in its switch, as they were, and frames go on by them.
A switch in user space takes its datapath with it: no frame passes until it is back and has its flows. With Neutron's
agents the devices of the router and of DHCP would be gone with it, which no agent brings back: such a trial fails
before the migration. A switch in the kernel goes on by the flows that it has.
Guests outlive libvirt and nova-compute, as on any host. There is one of each central service: its failure
is one of the cloud's."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import Injector, Tools, given
from migrascope.model.kinds.services import ServiceKind

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class ServiceKill(ServiceKind):
    name = "service-kill"
    does = "a service dies once"
    how = "SIGKILL to a service's main process; systemd starts it again"
    instant = True

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.kill_service(disturbance.target, given(disturbance.service), stay=False)
