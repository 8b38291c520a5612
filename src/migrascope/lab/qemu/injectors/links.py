"""A link that is down, in both directions or in one, and a link that is slower."""

from migrascope.lab.qemu.topology import Topology
from migrascope.node.link import PortSwitch, set_rate
from migrascope.node.namespace import Namespace, index_of

_NOTHING = {"rate": 1000, "burst": 20, "limit": 1000}


class LinkDown:
    """Bridge ports of a link stop forwarding: no frame passes, and no interface loses its carrier."""

    def __init__(self, topology: Topology, link: str, nodes: list[str]) -> None:
        ports = topology.links[link].ports
        self._ports = [(topology.fabric, ports[node].port) for node in nodes]
        self._switches: list[PortSwitch] = []

    async def arm(self) -> None:
        self._switches = [PortSwitch(*port) for port in self._ports]

    async def apply(self) -> str:
        for switch in self._switches:
            switch.set(cut=True)
        return ""

    async def heal(self) -> None:
        switches, self._switches = self._switches, []
        for switch in switches:
            with switch:
                switch.set(cut=False)


class OneWay:
    """What one host sends on a link is dropped: a token bucket (tbf) that is smaller than any frame."""

    def __init__(self, topology: Topology, link: str, host: str) -> None:
        self._link, self._namespace = topology.links[link], topology.nodes[host]
        self._applied = False

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        self._applied = True
        set_rate(self._namespace, self._link.name, None)
        _drop_all(self._namespace, self._link.name)
        return ""

    async def heal(self) -> None:
        if self._applied:
            set_rate(self._namespace, self._link.name, self._link.rate_bps)
            self._applied = False


def _drop_all(namespace: Namespace, interface: str) -> None:
    namespace.configure(
        lambda routes: routes.tc("add", "tbf", index=index_of(routes, interface), handle="1:", **_NOTHING)
    )


class LinkRate:
    """Every node of a link may send less."""

    def __init__(self, topology: Topology, link: str, rate_bps: float) -> None:
        self._link, self._rate_bps, self._before = topology.links[link], rate_bps, topology.links[link].rate_bps

    async def arm(self) -> None:
        self._before = self._link.rate_bps

    async def apply(self) -> str:
        self._link.set_rate(self._rate_bps)
        return ""

    async def heal(self) -> None:
        if self._link.rate_bps != self._before:
            self._link.set_rate(self._before)
