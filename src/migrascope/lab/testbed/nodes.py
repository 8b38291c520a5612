"""What of a cloud is ours to break: its nodes, its links, and the units of systemd in the nodes, by service."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.node.container import Container


@dataclass(frozen=True)
class Nodes:
    """wires: the links between the nodes and all that is on them; by_name: those with an init; controller: the node of
    what there is one of. address: of a node on a link. router_in_switch: whether the router's devices are those of the
    switch's process, so that they are gone with it for good."""

    lab_links: LabLinks
    by_name: Mapping[str, Container]
    controller: str
    address: Callable[[str, str], str]
    router_in_switch: bool = False


UNITS: dict[str, tuple[str, ...]] = {
    "libvirt": (
        "libvirtd.service", "libvirtd-tcp.socket", "libvirtd-admin.socket", "libvirtd-ro.socket", "libvirtd.socket",
    ),
    "nova-compute": ("nova-compute.service",),
    "l2-agent": ("neutron-openvswitch-agent.service",),
    "open-vswitch": ("ovs-vswitchd.service", "openvswitch-switch.service"),
    "ovn-controller": ("ovn-controller.service",),
    "ovn-northd": ("ovn-northd.service",),
    "ovn-northbound": ("ovn-ovsdb-server-nb.service",),
    "ovn-southbound": ("ovn-ovsdb-server-sb.service",),
    "ceph-osd": ("ceph-osd@*.service",),
    "rabbitmq": ("rabbitmq-server.service",),
    "database": ("mariadb.service",),
    "ceph-mon": ("ceph-mon@*.service",),
}  # fmt: skip
"""systemd's units of each service as Debian names them, the one with the process first."""
START = 'service=$1; shift; for unit in "$@" "$service"; do systemctl start "$unit" || exit 1; done'
"""A shell's words that start units one after another, sockets before their service: once that runs they are refused."""
