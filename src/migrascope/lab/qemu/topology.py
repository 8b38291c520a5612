"""The lab's nodes and links.

      host-a     host-b     storage     client     origin
    management  management  management
     storage     storage     storage
    migration   migration
      tenant      tenant
                                       external   external

Each link is a bridge of its name in the namespace `fabric`, which also routes between tenant and external, as a
provider's router does between the instance and the visitors. In a host, the bridge `instances` joins the instance's
tap to the tenant link. In a dual-stack lab the nodes on tenant and external have an IPv6 address beside the IPv4 one,
and the hosts one on the migration link where the memory goes over IPv6.
"""

import socket
from collections.abc import Sequence
from functools import partial

from pyroute2 import IPRoute

from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.plan import LINKS
from migrascope.model.schedule import HOSTS
from migrascope.model.storage import COPIED, Storage
from migrascope.node.link import Link, add_bridge, add_to_bridge, give_ipv6
from migrascope.node.namespace import Namespace, index_of
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.register import Register

NODES = (*HOSTS, "storage", "client", "origin")
_PREFIX = {
    "management": "10.0.1.",
    "storage": "10.0.2.",
    "migration": "10.0.3.",
    "tenant": "10.0.4.",
    "external": "192.0.2.",
}
_LAST = {"fabric": 1, "host-a": 11, "host-b": 12, "storage": 20, "client": 30, "origin": 40}
_JOINED = {
    "management": (*HOSTS, "storage"),
    "storage": (*HOSTS, "storage"),
    "migration": HOSTS,
    "tenant": HOSTS,
    "external": ("client", "origin"),
}
_PREFIX_6 = {
    "migration": "fd4d:6967:7261:3::",
    "tenant": "fd4d:6967:7261:4::",
    "external": "fd4d:6967:7261:c0::",
}
"""Unique local addresses (RFC 4193), each a /64."""
_ROUTED = ("tenant", "external")
"""The links between which the fabric routes."""
BRIDGE = "instances"
FRAMES_S = 0.05
COPY_PORT = 10810
"""Where a destination takes a volume that is copied, on the migration link."""
INSTANCE_ADDRESS = "10.0.4.100"
GATEWAY = "10.0.4.1"
INSTANCE_ADDRESS_6, GATEWAY_6 = f"{_PREFIX_6['tenant']}100", f"{_PREFIX_6['tenant']}1"


def address(node: str, link: str) -> str:
    """The IPv4 address of a node on a link, without its length (all are /24)."""
    return f"{_PREFIX[link]}{_LAST[node]}"


def _address_6(node: str, link: str) -> str:
    return f"{_PREFIX_6[link]}{_LAST[node]}"


class Topology:
    """The namespaces and links of one lab. Everything in it goes with the namespaces."""

    def __init__(self, register: Register, families: Sequence[Family] = (FIRST,), stream: Family = FIRST) -> None:
        """families: of the instance and its visitors. stream: over which hosts reach each other on the migration
        link."""
        self.register, self.families, self.stream = register, families, stream
        self.nodes: dict[str, Namespace] = {}
        self.links: dict[str, Link] = {}
        self.fabric: Namespace

    def create(self) -> None:
        """Makes all of it. OSError or NetlinkError where the kernel refuses."""
        self.fabric = self.register.namespace("fabric")
        self.fabric.create()
        self.fabric.write_sysctl("net/ipv4/ip_forward", "1")
        for node in NODES:
            self.nodes[node] = self.register.namespace(node)
            self.nodes[node].create()
        for name in LINKS:
            routed = name in _ROUTED
            link = Link(name, self.fabric)
            link.create(f"{address('fabric', name)}/24" if routed else None)
            for node in _JOINED[name]:
                bare = name == "tenant"
                link.attach(node, self.nodes[node], None if bare else f"{address(node, name)}/24")
            self.links[name] = link
        for node in ("client", "origin"):
            self.nodes[node].configure(_default_route)
        if SECOND in self.families:
            self._add_ipv6()
        if self.stream == SECOND:
            for host in HOSTS:
                give_ipv6(self.nodes[host], "migration", _address_6(host, "migration"))
        for host in HOSTS:
            add_bridge(self.nodes[host], BRIDGE)
            add_to_bridge(self.nodes[host], "tenant", BRIDGE)

    def _add_ipv6(self) -> None:
        """The second family, where the instance and its visitors are."""
        spaces = {"fabric": self.fabric, **self.nodes}
        for link in _ROUTED:
            routed = [node for node in ("fabric", *_JOINED[link]) if node not in HOSTS]
            for node in routed:
                give_ipv6(spaces[node], link, _address_6(node, link))
                if node != "fabric":
                    spaces[node].configure(partial(_default_route_6, gateway=_address_6("fabric", link)))
        self.fabric.write_sysctl("net/ipv6/conf/all/forwarding", "1")

    def stream_address(self, host: str) -> str:
        """To which address of a host the memory goes."""
        return _address_6(host, "migration") if self.stream == SECOND else address(host, "migration")

    @property
    def lab_links(self) -> LabLinks:
        return LabLinks(self.fabric, self.links, self.nodes)

    def add_tap(self, host: str, name: str) -> None:
        """A tap for an instance in a host, joined to its tenant link."""
        self.nodes[host].configure(lambda routes: routes.link("add", ifname=name, kind="tuntap", mode="tap"))
        add_to_bridge(self.nodes[host], name, BRIDGE)

    def remove_tap(self, host: str, name: str) -> None:
        self.nodes[host].configure(lambda routes: routes.link("del", index=index_of(routes, name)))

    def ports(self) -> dict[str, tuple[str, str]]:
        """Every port in the fabric with its link and node, as the link probe wants them."""
        return {port.port: (link.name, node) for link in self.links.values() for node, port in link.ports.items()}

    def watchers(self, mac: str, interval_s: float, storage: Storage) -> list[ProcessSpec]:
        """What counts on the links, what of it is the copy of a volume where one is copied, and an instance's frames by
        host unless interval_s is 0; with both families what announces it, and what its router has for it, too."""
        link = {"ports": self.ports(), "interval_s": interval_s}
        tenant = {port: node for port, (name, node) in self.ports().items() if name == "tenant"}
        frames = {"mac": mac, "ports": tenant, "interval_s": FRAMES_S}
        always = [ProcessSpec("link", "migrascope.probe.link", "fabric", self.fabric, link)]
        if storage == COPIED:
            flow = {"port": COPY_PORT, "interval_s": interval_s}
            always.append(ProcessSpec("flow", "migrascope.probe.flow", "fabric", self.fabric, flow))
        if not interval_s:
            return always
        found = [*always, ProcessSpec("frames", "migrascope.probe.frames", "fabric", self.fabric, frames)]
        if SECOND in self.families:
            seen = {"mac": mac, "addresses": [], "ports": {port: (node, "port") for port, node in tenant.items()}}
            found.append(ProcessSpec("announce", "migrascope.probe.announce", "fabric", self.fabric, seen))
            own = [INSTANCE_ADDRESS, INSTANCE_ADDRESS_6]
            tables = [{"place": "router", "node": "fabric", "paths": [""], "addresses": own}]
            known = {"tables": tables}
            found.append(ProcessSpec("neighbours", "migrascope.probe.neighbour_state", "fabric", self.fabric, known))
        return found


def _default_route(routes: IPRoute) -> None:
    routes.route("add", dst="default", gateway=address("fabric", "external"))


def _default_route_6(routes: IPRoute, gateway: str) -> None:
    routes.route("add", dst="default", gateway=gateway, family=socket.AF_INET6)
