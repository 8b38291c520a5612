"""Frames that come later: a delay line in user space, through which a node's port reaches its link."""

import sys
from collections.abc import Callable
from pathlib import Path

from pyroute2 import IPRoute

from migrascope.lab.injectors import delayline
from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.node.link import add_bridge, add_to_bridge
from migrascope.node.namespace import index_of
from migrascope.node.namespace_thread import NamespaceThread
from migrascope.node.process import Process, Where, start

_READY_S = 20.0


class _Detour:
    """One port with its delay line:  node --- port | bridge slow-N | tap near-N ~~~ tap far-N | the link's bridge."""

    def __init__(self, port: str, number: int) -> None:
        self.port, self.slow = port, f"slow-{number}"
        self.near, self.far = f"near-{number}", f"far-{number}"
        self.process: Process | None = None
        self.index = 0
        self.masters: dict[bool, int] = {}

    def joining(self, *, slow: bool) -> Callable[[IPRoute], object]:
        """What makes the port one of the slow bridge, or of the link's again."""
        return lambda routes: routes.link("set", index=self.index, master=self.masters[slow])


class LinkDelay:
    """Everything that nodes send to a link (from_node) or get from it (to_node) comes so many seconds later."""

    def __init__(
        self, lab_links: LabLinks, link: str, nodes: list[str], from_node_s: float, to_node_s: float, log: Path
    ) -> None:
        self._fabric, self._link, self._log = lab_links.fabric, link, log
        self._delays = str(from_node_s), str(to_node_s)
        ports = lab_links.links[link].ports
        self._detours = [_Detour(ports[node].port, number) for number, node in enumerate(nodes)]
        self._inside: NamespaceThread | None = None
        self._applied = False

    async def arm(self) -> None:
        """The taps are there, on bridges of their own."""
        self._inside = NamespaceThread(self._fabric)
        for detour in self._detours:
            argv = [sys.executable, "-I", "-S", delayline.__file__, detour.near, detour.far, *self._delays]
            detour.process = await start("the delay line", argv, Where(self._fabric), self._log, piped=True)
            await detour.process.ready(_READY_S)
            add_bridge(self._fabric, detour.slow)
            # it would answer for a router's address on the link, and that with no delay
            self._fabric.write_sysctl(f"net/ipv4/conf/{detour.slow}/arp_ignore", "8")
            add_to_bridge(self._fabric, detour.near, detour.slow)
            add_to_bridge(self._fabric, detour.far, self._link)
            detour.index, slow, link = self._inside.configure(_indices(detour.port, detour.slow, self._link))
            detour.masters = {True: slow, False: link}

    async def apply(self) -> str:
        self._applied = True
        self._join(slow=True)
        return ""

    def _join(self, *, slow: bool) -> None:
        assert self._inside is not None
        for detour in self._detours:
            self._inside.configure(detour.joining(slow=slow))

    async def heal(self) -> None:
        """What the line still holds is lost."""
        if self._inside is None:
            return
        if self._applied:
            self._join(slow=False)
        for detour in self._detours:
            if detour.process is not None:
                await detour.process.kill()
        self._inside.configure(self._remove)
        self._inside.close()
        self._inside = None

    def _remove(self, routes: IPRoute) -> None:
        for detour in self._detours:
            for index in routes.link_lookup(ifname=detour.slow):
                routes.link("del", index=index)


def _indices(*names: str) -> Callable[[IPRoute], list[int]]:
    return lambda routes: [index_of(routes, name) for name in names]
