"""A link that is down, in both directions or in one, and a link that is slower."""

from functools import partial

from pyroute2 import IPRoute

from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.node.link import PortSwitch, bucket, set_rate
from migrascope.node.namespace import index_of
from migrascope.node.namespace_thread import NamespaceThread

_ROOT = 0xFFFFFFFF
_NOTHING = {"rate": 1000, "burst": 20, "limit": 1000}


class LinkDown:
    """Bridge ports of a link stop forwarding: no frame passes, and no interface loses its carrier."""

    def __init__(self, lab_links: LabLinks, link: str, nodes: list[str]) -> None:
        ports = lab_links.links[link].ports
        self._ports = [(lab_links.fabric, ports[node].port) for node in nodes]
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

    def __init__(self, lab_links: LabLinks, link: str, host: str) -> None:
        self._link, self._namespace = lab_links.links[link], lab_links.nodes[host]
        self._inside: NamespaceThread | None = None
        self._index = 0
        self._applied = False

    async def arm(self) -> None:
        self._inside = NamespaceThread(self._namespace)
        self._index = self._inside.configure(lambda routes: index_of(routes, self._link.name))

    def _drop(self, routes: IPRoute) -> None:
        if self._link.rate_bps is not None:
            routes.tc("del", index=self._index, handle="1:", parent=_ROOT)
        routes.tc("add", "tbf", index=self._index, handle="1:", **_NOTHING)

    async def apply(self) -> str:
        assert self._inside is not None
        self._applied = True
        self._inside.configure(self._drop)
        return ""

    async def heal(self) -> None:
        if self._inside is not None:
            self._inside.close()
            self._inside = None
        if self._applied:
            set_rate(self._namespace, self._link.name, self._link.rate_bps)
            self._applied = False


class LinkRate:
    """Every node of a link may send less, or more."""

    def __init__(self, lab_links: LabLinks, link: str, rate_bps: float) -> None:
        self._link, self._rate_bps = lab_links.links[link], rate_bps
        self._inside: list[tuple[NamespaceThread, int]] = []
        self._applied = False

    async def arm(self) -> None:
        for port in self._link.ports.values():
            inside = NamespaceThread(port.namespace)
            self._inside.append((inside, inside.configure(lambda routes: index_of(routes, self._link.name))))

    async def apply(self) -> str:
        """A limit that is there is changed where it stands, and holds until the new one does."""
        self._applied = True
        how = "add" if self._link.rate_bps is None else "change"
        for inside, index in self._inside:
            inside.configure(partial(_limit, how, index, bucket(self._link.name, self._rate_bps)))
        return ""

    async def heal(self) -> None:
        inside, self._inside = self._inside, []
        for thread, _ in inside:
            thread.close()
        if self._applied:
            self._link.set_rate(self._link.rate_bps)
            self._applied = False


def _limit(how: str, index: int, limit: dict[str, int], routes: IPRoute) -> None:
    routes.tc(how, "tbf", index=index, handle="1:", **limit)
