"""The QEMU of an instance on a node; a node that loses its power."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from migrascope.node.container import Container, members


def qemu_of(node: Container, server: str) -> int:
    """The number on this machine of the QEMU that runs a server on a node. ProcessLookupError where there is none."""
    for pid in members(node.pid() or 0):
        try:
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8")
            words = Path(f"/proc/{pid}/cmdline").read_bytes() if name.startswith("qemu-system") else b""
        except OSError:
            continue
        if server.encode() in words:
            return pid
    raise ProcessLookupError(f"no QEMU of the instance runs on {node.name}")


class NodeOff:
    """A node loses its power, and boots again."""

    def __init__(self, node: Container, boot: Callable[[str], Awaitable[None]]) -> None:
        self._node, self._boot, self._off = node, boot, False

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        self._off = True
        await self._node.kill()
        return ""

    async def heal(self) -> None:
        if self._off:
            await self._boot(self._node.name)
            self._off = False
