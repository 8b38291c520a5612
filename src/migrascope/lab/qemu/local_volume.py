"""An instance's volume where hosts share no storage: a file on each, the destination's empty until it is copied."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from migrascope.lab.qemu.volume import convert
from migrascope.node.process import Where, run


class LocalVolume:
    """A file of qcow2 on each host, without a file below it: all that the guest image holds is in it."""

    def __init__(self, base: Path, files: Mapping[str, Path], host: str, root: Path) -> None:
        """files: where it is on each host. host: the one on which the instance begins. root: where qemu-img is."""
        self._base, self._files, self._host, self._where = base, files, host, Where(None, root)

    async def create(self) -> None:
        """Writes the guest image to the host's file. ProcessError when qemu-img fails."""
        await convert(self._base, "raw", self._files[self._host], "qcow2", self._where)

    async def make_ready(self, destination: str) -> None:
        """An empty file of the same size. ProcessError when qemu-img fails."""
        size = str(self._base.stat().st_size)
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", str(self._files[destination]), size]
        await run("qemu-img", argv, self._where)

    def node(self, host: str) -> dict[str, Any]:
        """The host's file."""
        return {"driver": "qcow2", "file": {"driver": "file", "filename": str(self._files[host])}}

    async def raw(self, target: Path, host: str) -> None:
        """Writes what the host's file holds. ProcessError when qemu-img fails."""
        await convert(self._files[host], "qcow2", target, "raw", self._where)

    async def destroy(self) -> None:
        for path in self._files.values():
            path.unlink(missing_ok=True)
