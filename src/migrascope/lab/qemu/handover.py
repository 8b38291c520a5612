"""A switchover by a manager's words, as libvirt says them.

The source, whose guest has stopped, waits for the word to send the rest (pause-before-switchover); the destination,
which has everything, for the word to run (-S). libvirt: src/qemu/qemu_migration.c, qemuMigrationSrcPerformPeer2Peer3
and qemuMigrationDstFinishFresh.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from migrascope.lab.qemu.instance import Instance

CAPABILITIES = {"source": "pause-before-switchover", "destination": "late-block-activate"}
"""What libvirt turns on for each side: the second has it leave the volume to the source until it is to run."""
_HAS_ENOUGH = ("completed", "postcopy-active")


class Handover:
    """Of one migration of a prepared instance."""

    def __init__(self, instance: Instance, destination: str) -> None:
        self._instance, self._source, self._destination = instance, instance.host, destination
        self._statuses: dict[str, str] = {}
        self._news = asyncio.Event()
        self._went_on = self._runs = False
        for host in (self._source, destination):
            instance.monitors[host].listen(partial(self._heard, host))

    @contextlib.asynccontextmanager
    async def words(self) -> AsyncIterator[None]:
        """Says each word when it is due. Where the block raises before the destination was to run, its QEMU is ended:
        it must not run when the source does, or may."""
        saying = asyncio.create_task(self._say())
        try:
            yield
        except BaseException:
            if not self._runs:
                await self._instance.processes[self._destination].kill()
            raise
        finally:
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)

    async def go_on(self) -> None:
        """Has the source send the rest, unless it has been told. MonitorError where it refuses."""
        if not self._went_on:
            self._went_on = True
            await self._instance.monitors[self._source].execute("migrate-continue", {"state": "pre-switchover"})

    def _heard(self, host: str, event: str, data: dict[str, Any], _at_ns: int) -> None:
        if event == "MIGRATION":
            self._statuses[host] = data["status"]
            self._news.set()

    async def _say(self) -> None:
        """What QEMU refuses, its status tells."""
        while not self._runs:
            await self._news.wait()
            self._news.clear()
            copying = self._instance.copy is not None and self._instance.copy.following
            if self._statuses.get(self._source) == "pre-switchover" and not (self._instance.held or copying):
                await self.go_on()
            if all(self._statuses.get(host) in _HAS_ENOUGH for host in (self._source, self._destination)):
                self._runs = True
                await self._instance.monitors[self._destination].execute("cont")
