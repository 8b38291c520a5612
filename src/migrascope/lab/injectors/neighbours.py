"""A router's neighbour entries that are out of date."""

import socket
from collections.abc import Sequence
from typing import Any

from pyroute2 import IPRoute

from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.node.namespace import index_of

NOBODY = "02:00:00:00:00:01"
"""A locally administered address that no machine of a lab has."""


class StaleNeighbour:
    """The router of a link has NOBODY for these addresses (IPv4 or IPv6), in entries that it does not know to be
    wrong."""

    def __init__(self, lab_links: LabLinks, link: str, addresses: Sequence[str]) -> None:
        self._fabric, self._link, self._addresses = lab_links.fabric, link, addresses
        self._applied = False

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        self._fabric.configure(self._mislead)
        self._applied = True
        return f"{', '.join(self._addresses)} at {NOBODY}"

    def _mislead(self, routes: IPRoute) -> None:
        for address in self._addresses:
            routes.neigh("replace", state="stale", **self._entry(routes, address), lladdr=NOBODY)

    def _entry(self, routes: IPRoute, address: str) -> dict[str, Any]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return {"family": family, "ifindex": index_of(routes, self._link), "dst": address}

    async def heal(self) -> None:
        """Takes away what is still wrong: whoever is asked next answers."""
        if self._applied:
            self._applied = False
            self._fabric.configure(self._forget)

    def _forget(self, routes: IPRoute) -> None:
        for address in self._addresses:
            for found in routes.neigh("dump", **self._entry(routes, address)):
                if found.get("lladdr") == NOBODY:
                    routes.neigh("delete", **self._entry(routes, address))
