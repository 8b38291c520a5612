"""What of a cloud is ours to break: its nodes, their services, its links."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from migrascope.lab.injectors.wires import Wires
from migrascope.node.container import Container

UNITS: dict[str, tuple[str, ...]] = {
    "libvirt": (
        "libvirtd.service", "libvirtd-tcp.socket", "libvirtd-admin.socket", "libvirtd-ro.socket", "libvirtd.socket",
    ),
    "nova-compute": ("nova-compute.service",),
    "l2-agent": ("neutron-openvswitch-agent.service",),
    "ceph-osd": ("ceph-osd@*.service",),
    "rabbitmq": ("rabbitmq-server.service",),
    "database": ("mariadb.service",),
    "ceph-mon": ("ceph-mon@*.service",),
}  # fmt: skip
"""systemd's units of each service as Debian names them, the one with the process first."""
START = 'service=$1; shift; for unit in "$@" "$service"; do systemctl start "$unit" || exit 1; done'
"""A shell's words that start units one after another, sockets before their service: once that runs they are refused."""


@dataclass(frozen=True)
class Parts:
    """wires: the links between the nodes and all that is on them; nodes: those with an init; controller: the node of
    what there is one of. address: of a node on a link.

    boot: boots a node that is off and starts its services. mend: opens links, boots nodes and starts services that are
    not as they should be, and says what it did. whole: takes load off the store, waits until it has all copies of
    everything, and says so where it had to; Problem where that takes too long. rebuild: makes all of it anew,
    without what it held; whether it was needed, and it is well now.
    """

    wires: Wires
    nodes: Mapping[str, Container]
    controller: str
    address: Callable[[str, str], str]
    boot: Callable[[str], Awaitable[None]]
    mend: Callable[[], Awaitable[list[str]]]
    whole: Callable[[], Awaitable[list[str]]]
    rebuild: Callable[[], Awaitable[None]]
