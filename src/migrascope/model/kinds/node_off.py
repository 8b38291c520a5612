"""**What it does.** A host loses its power, with the guest, libvirt, nova-compute and the store of Ceph on it, and gets
it back after `duration`. target: `source` or `destination`.

**How.** SIGKILL to the first process of the node, which ends all others of it. Healing boots the node and starts its
services. On the lab `libvirt`: no frame passes the host's ports any more, then SIGKILL to all of its processes; healing
opens the ports and starts libvirt, which knows of no domain.

**What it needs.** The testbed, or the lab `libvirt`.

**Limits.** Both nodes share this machine's kernel and disk: what was written before the cut is there, fsync or not.
Where the node is the controller, the whole cloud is off."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import CLOUD, HOST_SIDES, Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class NodeOff(Kind):
    name = "node-off"
    ability = "failure of a host"
    does = "a host loses its power"
    how = "a node loses its power, and boots again"
    targets = HOST_SIDES
    labs = (*CLOUD, "libvirt")

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.power_off(disturbance.target)
