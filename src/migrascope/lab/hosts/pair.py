"""Connections to both hosts, by the URIs that the user has given."""

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

from migrascope.lab.libvirt.connection import NONE, Connection, LibvirtError, version_text
from migrascope.lab.libvirt.placed import Placed
from migrascope.lab.libvirt.policy import Request
from migrascope.model.family import host_of
from migrascope.model.hosts import HostsPlan
from migrascope.model.problem import Problem
from migrascope.node.process_spec import ProcessSpec


class Pair:
    """Both hosts' libvirts. connections, uris: by the hosts' own names, in the order in which they were given."""

    def __init__(self, connections: dict[str, Connection], uris: Sequence[str]) -> None:
        self.connections = connections
        self.uris = dict(zip(connections, uris, strict=True))

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, uris: Sequence[str], python: str) -> AsyncIterator["Pair"]:
        """Both, for the length of a with block. python: one that has libvirt's module. LibvirtError, with its words,
        where one takes no connection with which something can be done."""
        connections = [Connection(name_in(uri)) for uri in uris]
        try:
            for connection, uri in zip(connections, uris, strict=True):
                try:
                    await connection.open([python], uri, theirs=True)
                except LibvirtError as error:
                    raise LibvirtError(f"{error}\n  next: {virsh(uri, 'list')}") from error
            told = [str(await connection.call("getHostname")) for connection in connections]
            given = [connection.host for connection in connections]
            names = next((pair for pair in (told, given) if len(set(pair)) > 1), list(uris))
            for connection, name in zip(connections, names, strict=True):
                connection.host = name
            yield cls(dict(zip(names, connections, strict=True)), uris)
        finally:
            await asyncio.shield(asyncio.gather(*(connection.close() for connection in connections)))

    def other(self, host: str) -> str:
        """The other of both hosts."""
        return next(name for name in self.connections if name != host)

    def versions(self) -> dict[str, str]:
        """libvirt's and QEMU's, of both hosts, each once."""
        hosts = list(self.connections.values())
        return {
            name: ", ".join(dict.fromkeys(version_text(host.versions[name]) for host in hosts))
            for name in hosts[0].versions
        }

    async def migrate(self, domain: Placed, source: str, destination: str, request: Request, plan: HostsPlan) -> None:
        """Has a domain migrated, to the end. plan: who leads, and where the stream goes. LibvirtError with libvirt's
        words."""
        addresses = dict(zip(self.uris, plan.addresses, strict=False))
        parameters = request.parameters
        if address := addresses.get(destination):
            parameters = {"migrate_uri": f"tcp://{host_of(address)}"} | parameters
        uri, flags = self.uris[destination], {"flags": request.flags}
        if plan.peer_to_peer:
            await domain.call(source, "migrateToURI3", uri, parameters, flags, timeout_s=None)
        else:
            await domain.call(source, "migrate3", {"connect": uri}, parameters, flags, timeout_s=None)

    def watcher(self, uuid: str, python: str, interval_s: float, *, monitor: bool) -> ProcessSpec:
        """What records a domain on both hosts. python: one that has libvirt's module. monitor: whether QEMU is asked
        through its monitor."""
        hosts = {name: {"uri": uri, "python": [python]} for name, uri in self.uris.items()}
        config = {"hosts": hosts, "domain": uuid, "interval_s": interval_s, "monitor": monitor}
        return ProcessSpec("libvirt", "migrascope.probe.libvirt", "cloud", None, config)

    async def uuid_of(self, domain: str) -> str:
        """The UUID of a domain by its name. Problem where neither host knows it, or each knows another."""
        found: dict[str, str] = {}
        for host, connection in self.connections.items():
            try:
                found[host] = str(await connection.call("UUIDString", on=("name", domain)))
            except LibvirtError as error:
                if NONE not in str(error):
                    raise
        if not found:
            hosts = " nor ".join(self.connections)
            raise Problem(
                f"neither {hosts} has a domain {domain}\n  next: {virsh(next(iter(self.uris.values())), 'list')}"
            )
        if len(set(found.values())) > 1:
            raise Problem(f"{domain} is another domain on each host: their UUIDs differ, so it cannot be migrated")
        return next(iter(found.values()))


def virsh(uri: str, words: str) -> str:
    """The command that asks a host, ready to paste: a URI with parameters has signs of the shell's in it."""
    return f"virsh -c {shlex.quote(uri)} {words}"


def name_in(uri: str) -> str:
    """The host in a URI, the URI where it names none."""
    return urlsplit(uri).hostname or uri
