"""A domain of others: it is migrated, and what is set for that is as it was before afterwards."""

import asyncio
import contextlib
from typing import Any

from migrascope.lab.contract import MigrationFailed, Requested
from migrascope.lab.hosts.pair import Pair
from migrascope.lab.hosts.policy import request_of
from migrascope.lab.hosts.record import Record
from migrascope.lab.libvirt import migration
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.placed import SILENT, Placed, active, told
from migrascope.model.hosts import HostsPlan
from migrascope.model.policy import Policy
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.wait import WaitTimeout, wait_until

_OVER_S = 60.0
"""Maximum time for a migration to be over that was aborted because the run was interrupted."""
_JOB_S = 0.2


class TheirDomain(Placed):
    """The domain, as a trial migrates it. host: where it runs. limit_ms: the downtime limit that it had before; None
    where it was not asked for yet."""

    def __init__(self, pair: Pair, plan: HostsPlan, uuid: str, python: str, record: Record) -> None:
        """python: one that has libvirt's module."""
        super().__init__(pair.connections, uuid)
        self._pair, self._plan, self._python, self._record = pair, plan, python, record
        self.limit_ms: int | None = None
        self.host = ""
        self.policy = Policy()

    @property
    def name(self) -> str:
        return self._plan.domain

    async def find(self) -> tuple[str, str]:
        """Where it runs, and the other host. Problem where it does not run on exactly one of both."""
        found = await self.states()
        here = active(found)
        if len(here) != 1 or found[here[0]] != "running":
            copies = "two copies of it: " if len(here) > 1 else ""
            raise MigrationFailed(f"{self.name} does not run on exactly one of both hosts: {copies}{told(found)}")
        self.host = here[0]
        return self.host, self._pair.other(self.host)

    async def reboot(self) -> None:
        """Has its guest shut down and begin again, in the QEMU that it has. LibvirtError where libvirt refuses."""
        await self.call(self.host, "reboot", 0)

    async def prepare(self, policy: Policy, downtime_limit_s: float) -> dict[str, Any]:
        """Sets the downtime limit; `restore` puts it back. Gives what libvirt will be given, and the limit as it was
        read back."""
        self.policy = policy
        if self.limit_ms is None:
            self.limit_ms = int(await self.call(self.host, "migrateGetMaxDowntime", 0))
        self._begin(self._pair.other(self.host))
        await self._set_limit(round(downtime_limit_s * 1000))
        limit_ms = await self.call(self.host, "migrateGetMaxDowntime", 0)
        request = request_of(policy, peer_to_peer=self._plan.peer_to_peer)
        return {"libvirt": vars(request), self.host: {"parameters": {"downtime-limit": limit_ms}}}

    async def restore(self) -> None:
        """The downtime limit is what it was before the first trial, where the domain runs now, unless a migration goes
        on: then it stays written down."""
        if self.limit_ms is None or not await self.over():
            return
        with contextlib.suppress(LibvirtError):
            for host in active(await self.states()):
                self.host = host
                await self._set_limit(self.limit_ms)
            self._record.end()

    def _begin(self, destination: str) -> None:
        assert self.limit_ms is not None
        self._record.begin(self.name, self.host, destination, self.limit_ms)

    async def _set_limit(self, limit_ms: int) -> None:
        if int(await self.call(self.host, "migrateGetMaxDowntime", 0)) != limit_ms:
            await self.call(self.host, "migrateSetMaxDowntime", limit_ms, 0)

    async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
        """Gives libvirt's statistics of the completed job. One that is interrupted is aborted, unless it ends first."""
        self._begin(destination)
        try:
            return await migration.migrate(self, destination, limit_s, requested)
        except asyncio.CancelledError:
            await asyncio.shield(self._take_back())
            raise

    async def ask(self, destination: str) -> None:
        """Has it migrated, to the end. LibvirtError with libvirt's words."""
        request = request_of(self.policy, peer_to_peer=self._plan.peer_to_peer)
        await self._pair.migrate(self, self.host, destination, request, self._plan)

    async def over(self) -> bool:
        """Whether both hosts answer, and no job goes on on either."""
        states = await self.states()
        if SILENT in states.values():
            return False
        try:
            return not any([(await self.call(host, "jobInfo"))[0] for host in active(states)])
        except LibvirtError:
            return False

    async def _take_back(self) -> None:
        """Aborts the migration that this run has asked for, and waits until it is over: a post-copy ends by itself."""
        with contextlib.suppress(LibvirtError):
            await self.call(self.host, "abortJob")

        with contextlib.suppress(WaitTimeout):
            await wait_until(self.over, _OVER_S, "the migration is over", _JOB_S)

    def watchers(self, interval_s: float) -> list[ProcessSpec]:
        """libvirt's events and statistics on both hosts, and QEMU's through it as far as the plan allows."""
        return [self._pair.watcher(self.uuid, self._python, interval_s, monitor=self._plan.monitor)]
