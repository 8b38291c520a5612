"""libvirt's storage pool of a host of others: volumes that we put there, use and take away."""

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from migrascope.lab.libvirt.connection import Connection, LibvirtError
from migrascope.model.problem import Problem
from migrascope.node.wait import WaitTimeout, wait_until

_BUSY = "asynchronous jobs"
"""Part of libvirt's words where somebody writes to a volume of a pool."""
_FREE_S = 60.0
OF_FILES = ("dir", "fs", "netfs")
"""The types of pools whose volumes are files."""


class Pool:
    """A pool by its name."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection, self.name = connection, name

    async def folder(self) -> str:
        """Where its files are on the host. Problem where it has none, LibvirtError where there is no such pool."""
        xml = fromstring(await self._connection.call("XMLDesc", 0, on=("pool", self.name)))
        kind, path = xml.get("type", "?"), xml.findtext("target/path")
        if kind not in OF_FILES or path is None:
            raise Problem(
                f"{self._connection.host}: the pool {self.name} is of the type {kind}; one of files is wanted: "
                f"{', '.join(OF_FILES)}"
            )
        return path

    async def put(self, name: str, file: Path) -> str:
        """A new volume that holds what a file of this machine does, byte for byte; its path on the host."""
        path = await self._make(name, file.stat().st_size)
        await self._connection.call("fill", str(file), on=("stored", f"{self.name}/{name}"), timeout_s=None)
        return path

    async def overlay(self, name: str, size: int, base: str) -> str:
        """A new volume of qcow2 of so many bytes over another, a path on the host; its own path."""
        return await self._make(name, size, base)

    async def _make(self, name: str, size: int, base: str = "") -> str:
        root = Element("volume")
        SubElement(root, "name").text = name
        SubElement(root, "capacity", unit="bytes").text = str(size)
        SubElement(root, "allocation", unit="bytes").text = "0"
        SubElement(SubElement(root, "target"), "format", type="qcow2" if base else "raw")
        if base:
            below = SubElement(root, "backingStore")
            SubElement(below, "path").text = base
            SubElement(below, "format", type="qcow2")
        await self._connection.call("createXML", tostring(root, encoding="unicode"), 0, on=("pool", self.name))
        return str(await self._connection.call("path", on=("stored", f"{self.name}/{name}")))

    async def get(self, name: str, file: Path) -> None:
        """Writes what a volume's file holds to a file of this machine."""
        await self._refresh()
        await self._connection.call("fetch", str(file), on=("stored", f"{self.name}/{name}"), timeout_s=None)

    async def names(self) -> list[str]:
        """What it holds, looked at anew."""
        await self._refresh()
        return [str(name) for name in await self._connection.call("listVolumes", on=("pool", self.name))]

    async def _refresh(self) -> None:
        """Has it looked at anew, which libvirt refuses while anybody writes to a volume of it. LibvirtError where
        somebody still does after a minute."""

        async def looked() -> bool:
            try:
                await self._connection.call("refresh", 0, on=("pool", self.name), timeout_s=None)
            except LibvirtError as error:
                if _BUSY in str(error):
                    return False
                raise
            return True

        try:
            await wait_until(looked, _FREE_S, f"the pool {self.name} is free", 0.2)
        except WaitTimeout as error:
            raise LibvirtError(f"{self._connection.host}: {error}") from error

    async def remove(self, *names: str) -> None:
        """Removes those volumes that are there. LibvirtError, when all others are gone, where libvirt does not let one
        go."""
        refused: LibvirtError | None = None
        there = await self.names()
        for name in [name for name in names if name in there]:
            try:
                await self._connection.call("delete", 0, on=("stored", f"{self.name}/{name}"))
            except LibvirtError as error:
                refused = error
        if refused is not None:
            raise refused
