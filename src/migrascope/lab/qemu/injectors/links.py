"""A link that is down, in both directions or in one, and a link that is slower."""

from concurrent.futures import ThreadPoolExecutor

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from migrascope.lab.qemu.topology import Topology
from migrascope.node.enter import set_namespace
from migrascope.node.link import PortSwitch, set_rate
from migrascope.node.namespace import index_of

_ROOT = 0xFFFFFFFF
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
        self._inside: ThreadPoolExecutor | None = None
        self._routes: IPRoute
        self._applied = False

    async def arm(self) -> None:
        """A thread that stays in the namespace, with its socket: making them takes up to 100 ms on a busy machine."""
        path = str(self._namespace.path)
        self._inside = ThreadPoolExecutor(1, "one way", lambda: set_namespace(path))
        self._inside.submit(self._open).result()

    def _open(self) -> None:
        self._routes = IPRoute()
        self._index = index_of(self._routes, self._link.name)

    def _drop(self) -> None:
        if self._link.rate_bps is not None:
            self._routes.tc("del", index=self._index, handle="1:", parent=_ROOT)
        self._routes.tc("add", "tbf", index=self._index, handle="1:", **_NOTHING)

    async def apply(self) -> str:
        assert self._inside is not None
        self._applied = True
        try:
            self._inside.submit(self._drop).result()
        except NetlinkError as error:
            raise OSError(error.code, f"{self._link.name}: {error}") from error
        return ""

    async def heal(self) -> None:
        if self._inside is not None:
            self._inside.submit(self._routes.close).result()
            self._inside.shutdown()
            self._inside = None
        if self._applied:
            set_rate(self._namespace, self._link.name, self._link.rate_bps)
            self._applied = False


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
