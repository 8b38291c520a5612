"""A libvirt that dies, stays away or hangs, and a host that loses its power."""

import asyncio
import time
from collections.abc import Sequence

from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.lab.injectors.links import LinkDown
from migrascope.lab.libvirt.host import Host
from migrascope.model.kinds.kind import Injector

_AGAIN_S = 0.1
"""After which its supervisor starts it again, as systemd does by default."""


class LibvirtDies:
    """SIGKILL; its QEMUs live on. stay: it is started again when that is healed, else by its supervisor at once."""

    def __init__(self, host: Host, *, stay: bool) -> None:
        self._host, self._stay, self._dead = host, stay, False
        self._again: asyncio.Task[float] | None = None

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        self._dead = True
        await self._host.kill()
        if not self._stay:
            self._again = asyncio.create_task(self._start(_AGAIN_S))
        return ""

    async def _start(self, wait_s: float) -> float:
        await asyncio.sleep(wait_s)
        began = time.monotonic()
        await self._host.start()
        return time.monotonic() - began

    async def heal(self) -> str | None:
        """Returns when it takes connections again. ProcessError with its words where it does not."""
        if not self._dead:
            return None
        took_s = await (self._again or self._start(0))
        self._dead = False
        return f"libvirt took connections {took_s:.1f} s after its start"


class LibvirtHangs:
    """SIGSTOP, and SIGCONT."""

    def __init__(self, host: Host) -> None:
        self._host, self._hangs = host, False

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        self._hangs = True
        self._host.freeze(frozen=True)
        return ""

    async def heal(self) -> None:
        if self._hangs:
            self._host.freeze(frozen=False)
            self._hangs = False


class HostOff:
    """No frame passes its ports any more, and all that runs on it ends; on again, it has forgotten what it ran."""

    def __init__(self, host: Host, lab_links: LabLinks) -> None:
        self._host, self._off = host, False
        joined = [name for name, link in lab_links.links.items() if host.name in link.ports]
        self._cuts: Sequence[Injector] = [LinkDown(lab_links, name, [host.name]) for name in joined]

    async def arm(self) -> None:
        for cut in self._cuts:
            await cut.arm()

    async def apply(self) -> str:
        self._off = True
        for cut in self._cuts:
            await cut.apply()
        await self._host.power_off()
        return ""

    async def heal(self) -> None:
        """ProcessError with libvirt's words where it does not come up again."""
        for cut in self._cuts:
            await cut.heal()
        if self._off:
            await self._host.start()
            self._off = False
