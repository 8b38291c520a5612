"""The testbed's nodes, hosts and links.

    controller    compute      client     origin
    management  management
     storage     storage
    migration   migration
      tenant      tenant
     external                 external   external

Each link is a bridge of its name in the namespace `fabric`. Nothing of it is routed to this machine's own network.
`compute` is on `external`, too, where it has the floating IPs of its servers itself (Settings.floating_ips). On
`external`, fabric and client have an IPv6 address, too, and the client knows the way through the cloud's router to the
instances' own: there are no floating ones.
"""

import socket
from collections.abc import Mapping

from pyroute2 import IPRoute

from migrascope.model.plan import LINKS
from migrascope.node.link import Link, give_ipv6, rate_of
from migrascope.node.namespace import Namespace, has_ipv6
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, take_down
from migrascope.store.atomic import write_json
from migrascope.store.document import read_json, read_object
from migrascope.testbed.settings import BARE, HOSTS, INSTANCES_6, JOINED, NODES, address, address_6

# What the kernel's token bucket takes.
SLOWEST_BPS, FASTEST_BPS = 1e4, 34e9


class Topology:
    """The namespaces and links of one testbed, made or found."""

    def __init__(self, register: Register, joined: Mapping[str, tuple[str, ...]] = JOINED) -> None:
        """joined: the nodes and hosts on each link."""
        self._register, self._joined = register, joined
        self._made = register.folder / "topology.json"
        self._rates = register.folder / "rates.json"
        self.fabric = Namespace(f"{register.id}-fabric")
        self.namespaces = {node: Namespace(f"{register.id}-{node}") for node in (*NODES, *HOSTS)}
        self.links: dict[str, Link] = {}
        for name in LINKS:
            self.links[name] = Link(name, self.fabric)
            for node in joined[name]:
                self.links[name].joined(node, self.namespaces[node])

    def _inodes(self) -> list[int | None]:
        return [space.inode() for space in (self.fabric, *self.namespaces.values())]

    def whole(self) -> bool:
        """Whether all of it is there, as it was made."""
        try:
            made = read_json(self._made)
        except (FileNotFoundError, ValueError):
            return False
        return bool(made == self._inodes())

    def create(self) -> None:
        """Makes all of it, unless it is there; what a killed process began is removed first. OSError where the kernel
        refuses."""
        if self.whole():
            return
        take_down(self._register, Cleaned())
        self._made.unlink(missing_ok=True)
        for role in ("fabric", *self.namespaces):
            self._register.namespace(role).create()
        for name, link in self.links.items():
            link.create(f"{address('fabric', name)}/24" if name == "external" else None)
            for node in self._joined[name]:
                bare = (name, node) in BARE
                link.attach(node, self.namespaces[node], None if bare else f"{address(node, name)}/24")
        if has_ipv6():
            self._add_ipv6()
        for name, rate_bps in self._kept_rates().items():
            self.links[name].set_rate(rate_bps)
        write_json(self._made, self._inodes())

    def _add_ipv6(self) -> None:
        client = self.namespaces["client"]
        for node, space in (("fabric", self.fabric), ("client", client)):
            give_ipv6(space, "external", address_6(node))
        client.configure(_route_to_instances)

    def rates(self) -> dict[str, float]:
        """What each node may send on a link, in bit/s, for each link where the kernel limits it."""
        found = {}
        for name, link in self.links.items():
            limits = [rate_of(port.namespace, name) for port in link.ports.values()]
            if known := [limit for limit in limits if limit is not None]:
                found[name] = min(known)
        return found

    def set_rate(self, name: str, rate_bps: float | None) -> None:
        """Limits what each node sends on a link, or lifts the limit; the links that are made next time have it too."""
        self.links[name].set_rate(rate_bps)
        kept = {**self._kept_rates(), name: rate_bps}
        write_json(self._rates, {link: rate for link, rate in kept.items() if rate is not None})

    def _kept_rates(self) -> dict[str, float]:
        """As they were written; a link whose rate cannot be read has no limit."""
        try:
            kept = read_object(self._rates)
        except (FileNotFoundError, ValueError):
            return {}
        return {
            name: float(rate)
            for name, rate in kept.items()
            if name in self.links and isinstance(rate, int | float) and SLOWEST_BPS <= rate <= FASTEST_BPS
        }


def _route_to_instances(routes: IPRoute) -> None:
    routes.route("add", dst=str(INSTANCES_6), gateway=address_6("router"), family=socket.AF_INET6)
