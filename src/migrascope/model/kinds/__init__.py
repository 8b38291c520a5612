"""The kinds of disturbances. A new one is a module beside this one, and its line in KINDS."""

from migrascope.model.kinds.abort import Abort
from migrascope.model.kinds.announce_loss import AnnounceLoss
from migrascope.model.kinds.ceph_recovery import CephRecovery
from migrascope.model.kinds.force_complete import ForceComplete
from migrascope.model.kinds.guest_cpu import GuestCpu
from migrascope.model.kinds.guest_disk_read import GuestDiskRead
from migrascope.model.kinds.guest_disk_write import GuestDiskWrite
from migrascope.model.kinds.guest_memory import GuestMemory
from migrascope.model.kinds.guest_network import GuestNetwork
from migrascope.model.kinds.host_cpu import HostCpu
from migrascope.model.kinds.host_memory import HostMemory
from migrascope.model.kinds.kind import Kind
from migrascope.model.kinds.link_delay import LinkDelay
from migrascope.model.kinds.link_down import LinkDown
from migrascope.model.kinds.link_loss import LinkLoss
from migrascope.model.kinds.link_rate import LinkRate
from migrascope.model.kinds.neighbour_stale import NeighbourStale
from migrascope.model.kinds.no_memory import NoMemory
from migrascope.model.kinds.no_space import NoSpace
from migrascope.model.kinds.node_off import NodeOff
from migrascope.model.kinds.qemu_freeze import QemuFreeze
from migrascope.model.kinds.qemu_kill import QemuKill
from migrascope.model.kinds.second_migration import SecondMigration
from migrascope.model.kinds.service_down import ServiceDown
from migrascope.model.kinds.service_freeze import ServiceFreeze
from migrascope.model.kinds.service_kill import ServiceKill
from migrascope.model.kinds.storage_load import StorageLoad
from migrascope.model.kinds.traffic import Traffic

KINDS: dict[str, Kind] = {
    made.name: made
    for made in (
        LinkDown(),
        LinkRate(),
        LinkLoss(),
        LinkDelay(),
        AnnounceLoss(),
        NeighbourStale(),
        Traffic(),
        QemuKill(),
        QemuFreeze(),
        NoMemory(),
        NoSpace(),
        StorageLoad(),
        CephRecovery(),
        HostMemory(),
        HostCpu(),
        Abort(),
        SecondMigration(),
        ForceComplete(),
        ServiceKill(),
        ServiceDown(),
        ServiceFreeze(),
        NodeOff(),
        GuestMemory(),
        GuestNetwork(),
        GuestCpu(),
        GuestDiskWrite(),
        GuestDiskRead(),
    )
}
"""By name, in the order in which people read them."""


def index() -> str:
    """The table of docs/disturbances/README.md."""
    rows = []
    for name, kind in KINDS.items():
        targets = [*kind.targets, *(f"{target} (openstack)" for target in kind.beside)]
        rows.append(f"| [{name}]({name}.md) | {', '.join(targets)} | {kind.does} |")
    return "\n".join(["| kind | target | what it does |", "|---|---|---|", *rows]).replace("|  |", "| |")
