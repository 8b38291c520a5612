"""The copy of an instance's volume to the destination's file, by NBD and before its memory, as libvirt makes it.

libvirt: qemuMigrationDstStartNBDServer, qemuMigrationSrcNBDStorageCopy, qemuMigrationSrcNBDCopyCancel.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from migrascope.lab.contract import NotConverged
from migrascope.lab.qemu.machine import VOLUME_NODE
from migrascope.lab.qemu.monitor import Monitor, MonitorError
from migrascope.lab.qemu.topology import COPY_PORT
from migrascope.model.problem import Problem
from migrascope.node.wait import WaitTimeout, wait_until

JOB = "storage-copy"
_TARGET = "copy"
_LOOK_S = 0.5
"""Maximum time between two looks at the job, beside those that its events provoke."""
_OVER_S = 10.0


class CopyFailed(Problem):
    """A copy that came to no good end; the message names the host and holds QEMU's words."""


class StorageCopy:
    """One migration's. under_way: the volume is being copied, and the memory not yet; following: what the guest writes
    is copied while its memory is."""

    def __init__(self, source: Monitor, destination: Monitor, to: str, speed_Bps: int) -> None:
        """to: the destination's address. speed_Bps: the most that the copy may send; 0: as much as the link takes."""
        self._source, self._destination, self._to, self._speed_Bps = source, destination, to, speed_Bps
        self._changed = asyncio.Event()
        self.under_way = self.following = False
        source.listen(self._see)

    def _see(self, event: str, data: dict[str, Any], _at_ns: int) -> None:
        if event == "JOB_STATUS_CHANGE" and data.get("id") == JOB:
            self._changed.set()

    async def offer(self) -> None:
        """The destination takes what is written to its volume. MonitorError when QEMU refuses."""
        data = {"host": self._to, "port": str(COPY_PORT)}
        await self._destination.execute("nbd-server-start", {"addr": {"type": "inet", "data": data}})
        export = {"type": "nbd", "id": _TARGET, "node-name": VOLUME_NODE, "name": VOLUME_NODE, "writable": True}
        await self._destination.execute("block-export-add", export)

    async def run(self, problem: Callable[[], str | None], limit_s: float) -> None:
        """Copies the volume until the copy only follows what the guest writes. problem: why a QEMU does not go on.
        CopyFailed or MonitorError with the reason; NotConverged after limit_s."""
        self.under_way = True
        try:
            server = {"type": "inet", "host": self._to, "port": str(COPY_PORT)}
            node = {"driver": "nbd", "node-name": _TARGET, "server": server, "export": VOLUME_NODE}
            await self._source.execute("blockdev-add", node)
            mirror = {"job-id": JOB, "device": VOLUME_NODE, "target": _TARGET, "sync": "full", "auto-dismiss": False}
            await self._source.execute("blockdev-mirror", mirror | {"speed": self._speed_Bps})
            await self._until("ready", problem, limit_s, f"still copying the volume after {limit_s:g} s; cancelled")
            self.following = True
        finally:
            self.under_way = False

    async def check(self) -> None:
        """CopyFailed where it no longer follows what the guest writes."""
        self._good(await self._job())

    async def finish(self, problem: Callable[[], str | None], limit_s: float) -> None:
        """The guest has stopped: what is left is copied, and the destination's volume is the destination's alone.
        CopyFailed or MonitorError with the reason; NotConverged after limit_s."""
        await self._source.execute("block-job-cancel", {"device": JOB})  # of a copy that is ready: its good end
        await self._until("concluded", problem, limit_s, "the volume's copy did not end; cancelled")
        await self._source.execute("job-dismiss", {"id": JOB})
        await self._source.execute("blockdev-del", {"node-name": _TARGET})
        await self._destination.execute("nbd-server-stop")
        self.following = False

    async def abort(self) -> None:
        """Ends it in the middle, as an operator does. MonitorError when QEMU refuses."""
        await self._source.execute("block-job-cancel", {"device": JOB, "force": True})

    async def drop(self) -> None:
        """After a migration that came to nothing: what is left of it on the source goes, as far as QEMU answers."""
        self.following = False
        with contextlib.suppress(MonitorError, WaitTimeout):
            if await self._job() is not None:
                with contextlib.suppress(MonitorError):  # it has ended by itself
                    await self.abort()
                await wait_until(self._over, _OVER_S, "the volume's copy has ended")
                await self._source.execute("job-dismiss", {"id": JOB})
            await self._source.execute("blockdev-del", {"node-name": _TARGET})

    async def _over(self) -> bool:
        job = await self._job()
        return job is None or job["status"] == "concluded"

    async def _job(self) -> dict[str, Any] | None:
        """What QEMU says of it; None where there is none."""
        jobs: list[dict[str, Any]] = await self._source.execute("query-jobs")
        return next((job for job in jobs if job["id"] == JOB), None)

    async def _until(self, status: str, problem: Callable[[], str | None], limit_s: float, words: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        while True:
            self._changed.clear()
            job = self._good(await self._job())
            if job["status"] == status:
                return
            if job["status"] == "concluded":
                raise CopyFailed(f"the copy of the volume ended early on {self._source.host}")
            if why := problem():
                raise CopyFailed(why)
            if (left := until - loop.time()) <= 0:
                raise NotConverged(words)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(_LOOK_S, left))

    def _good(self, job: dict[str, Any] | None) -> dict[str, Any]:
        words = "QEMU knows nothing of it" if job is None else job.get("error")
        if job is None or words:
            raise CopyFailed(f"the copy of the volume failed on {self._source.host}: {words}")
        return job
