"""A host's disk that is full: a file system in memory, in place of its folder of volumes, that has no more room."""

import os

from migrascope.lab.libvirt.host import IMAGES, Host
from migrascope.node.process import Where, run

_ROOM_BYTES = 2**36
"""Of the file system before it is full: more than any volume has. Only what is written takes memory."""
LEFT_BYTES = 2**22
"""What a full one still takes at most: a copy goes on meanwhile, and no limit may be below what is in use."""


class DiskFull:
    """The volumes of a host on a file system of their own, from before the migration until `give_back`."""

    def __init__(self, host: Host) -> None:
        self._host, self._armed = host, False

    async def arm(self) -> None:
        """Mounts it. What is there moves into it: of a volume that is to be copied, an empty file."""
        folder = self._host.image("")
        there = {path.name: path.read_bytes() for path in folder.iterdir()}
        for name in there:
            (folder / name).unlink()
        await self._mount("-t", "tmpfs", "-o", f"size={_ROOM_BYTES}", "tmpfs")
        self._armed = True
        for name, content in there.items():
            self._host.image(name).write_bytes(content)

    async def apply(self) -> str:
        state = os.statvfs(self._host.image(""))
        await self._resize((state.f_blocks - state.f_bfree) * state.f_frsize + LEFT_BYTES)
        return ""

    async def heal(self) -> None:
        if self._armed:
            await self._resize(_ROOM_BYTES)

    async def _resize(self, size: int) -> None:
        await self._mount("-o", f"remount,size={size}")

    async def _mount(self, *how: str) -> None:
        await run("mount", self._host.command(["mount", *how, str(IMAGES)]), Where())


async def give_back(host: Host) -> None:
    """The host's own folder of volumes again, where a full disk was in its place: what that held is gone."""
    if os.path.ismount(host.image("")):
        await run("umount", host.command(["umount", "--lazy", str(IMAGES)]), Where())
