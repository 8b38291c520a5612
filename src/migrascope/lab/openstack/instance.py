"""An instance in a cloud, and its live migration through the Compute API."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from migrascope.cloud.client import CloudError
from migrascope.cloud.server import Server
from migrascope.lab.contract import MigrationFailed, NotConverged, Requested
from migrascope.lab.offline import OfflineVolume
from migrascope.lab.openstack.access import CloudAccess
from migrascope.lab.openstack.policy import forced_after_s
from migrascope.lab.openstack.resources import Made, Resources
from migrascope.model.clock import mono_ns
from migrascope.model.policy import Policy
from migrascope.model.postcheck import PostCheck
from migrascope.model.schedule import Factors
from migrascope.node.container import inner_networks
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.wait import WaitTimeout, wait_until

_POLL_S, _FORCE_S = 1.0, 0.2
_ABORT_S = 60.0
_DOUBT_S = 10.0
_FRAMES_S = 0.05
_ROUTERS = "qrouter-*"
_CEPH_S = 1.0
_AT_REST = ("ACTIVE", "SHUTOFF", "PAUSED")
ENDED = ("completed", "failed", "error", "cancelled")


class CloudInstance:
    """A server with our website. address: its floating IP. address6: its own of IPv6, empty without it."""

    def __init__(
        self,
        name: str,
        made: Made,
        resources: Resources,
        access: CloudAccess,
        settings: dict[str, Any],
        login: dict[str, Any],
        *,
        persist: bool = False,
    ) -> None:
        """persist: its watchers go on where hosts and services go away for a while."""
        self.name, self.made = name, made
        self.address, self.address6 = made.address, made.address6
        self._resources, self._cloud, self._access = resources, resources.cloud, access
        self._server = Server(resources.cloud, made.server)
        self._settings, self._login = settings, login
        self._persist = persist
        self._error: str | None = None
        self._first_host = self._mac = ""
        self._fixed: list[str] = []
        self._policy = Policy()

    async def _shown(self) -> dict[str, Any]:
        found = await asyncio.to_thread(self._server.show)
        if found["status"] == "ERROR":
            self._error = f"server {self.name} is in ERROR: {found.get('fault', {}).get('message', 'no fault is told')}"
        return found

    async def record(self) -> dict[str, Any]:
        """Nova's record of its newest migration; empty where there is none, or where we may not see it."""
        try:
            return await asyncio.to_thread(self._server.newest_migration)
        except CloudError as error:
            if error.status == 403:
                return {}
            raise

    def problem(self) -> str | None:
        return self._error

    async def console(self) -> str | None:
        """The serial console as Compute keeps it; None where it does not."""
        try:
            answer = await asyncio.to_thread(self._server.act, {"os-getConsoleOutput": {}})
        except CloudError:
            return None
        return str(answer.get("output") or "")

    def pids(self) -> dict[str, int]:
        return {}

    def watchers(self, interval_s: float) -> list[ProcessSpec]:
        """The API's view, and what can be seen on hosts in reach: libvirt, QEMU, links, frames, journals, Ceph."""
        access, server = self._access, self.made.server
        members = []
        if interval_s:
            api = {**self._login, "server": server, "port": self.made.port, "interval_s": 0.5}
            members.append(ProcessSpec("nova", "migrascope.probe.nova", "cloud", None, api))
        if access.hosts:
            hosts = {name: {"uri": host.uri, "python": list(host.python)} for name, host in access.hosts.items()}
            config = {"hosts": hosts, "domain": server, "interval_s": interval_s, "persist": self._persist}
            members.append(ProcessSpec("libvirt", "migrascope.probe.libvirt", "cloud", None, config))
        if access.fabric is not None:
            link = {"ports": dict(access.ports), "interval_s": interval_s}
            members.append(ProcessSpec("link", "migrascope.probe.link", "fabric", access.fabric, link))
        return [*members, *self._beside()] if interval_s else members

    def _beside(self) -> list[ProcessSpec]:
        """Who watches the instance's frames, the hosts' journals and Ceph, where we may."""
        access, tap = self._access, f"tap{self.made.port[:11]}"
        spaces = {name: host.space for name, host in access.hosts.items() if host.space is not None}
        path = {"mac": self._mac, "addresses": self._visited}
        members = []
        for name, space in spaces.items():
            counted = {"mac": self._mac, "ports": {tap: name}, "interval_s": _FRAMES_S}
            members.append(ProcessSpec(f"frames-{name}", "migrascope.probe.frames", name, space, counted))
            seen = path | {"ports": {tap: (name, "tap")}}
            members.append(ProcessSpec(f"announce-{name}", "migrascope.probe.announce", name, space, seen))
        if spaces and access.fabric is not None:
            places = {"tenant": "tenant", "external": "router"}
            ports = {
                port: (node, places[link])
                for port, (link, node) in access.ports.items()
                if link in places and node in spaces
            }
            fabric = path | {"ports": ports}
            members.append(ProcessSpec("announce", "migrascope.probe.announce", "fabric", access.fabric, fabric))
        if spaces:
            hosts = {name: list(access.hosts[name].python) for name in spaces}
            journal = {"hosts": hosts, "words": [self.made.server, self.made.port]}
            members.append(ProcessSpec("journal", "migrascope.probe.journal", "cloud", None, journal))
            known = {"tables": [*self._routers(spaces), self._client()]}
            members.append(
                ProcessSpec("neighbours", "migrascope.probe.neighbour_state", "client", access.client, known)
            )
            ovn = {"hosts": hosts, "port": self.made.port, "addresses": [self.address]}
            members.append(ProcessSpec("ovn", "migrascope.probe.ovn", "cloud", None, ovn))
        if access.ceph:
            ceph = {"python": list(access.ceph), "interval_s": _CEPH_S, "persist": self._persist}
            members.append(ProcessSpec("ceph", "migrascope.probe.ceph", "cloud", None, ceph))
        return members

    def _routers(self, spaces: Mapping[str, Namespace]) -> list[dict[str, Any]]:
        """The neighbour tables of Neutron's routers on nodes in reach; one without a path where there are none."""
        routers = {name: [str(path) for path in inner_networks(space, _ROUTERS)] for name, space in spaces.items()}
        there = {name: paths for name, paths in routers.items() if paths} or {"": []}
        return [
            {"place": "router", "node": name, "paths": paths, "addresses": self._fixed} for name, paths in there.items()
        ]

    def _client(self) -> dict[str, Any]:
        """The neighbour table of the client, who asks the instance at its visitors' addresses."""
        return {"place": "client", "node": "client", "paths": [""], "addresses": self._visited}

    @property
    def _visited(self) -> list[str]:
        """The addresses that its visitors use."""
        return [each for each in (self.address, self.address6) if each]

    async def prepare(self, destination: str, factors: Factors) -> dict[str, Any]:
        """Gives the settings that the lab has made; there is nothing to prepare on the hosts.

        Where it runs is asked here, because an answer right before the request would make the API, which may share the
        guest's processors, spoil the window before.
        """
        self._first_host = str((await self._shown())["hostId"])
        network = self._cloud.connection.network
        port = await asyncio.to_thread(self._cloud.idempotent, lambda: network.get_port(self.made.port))
        self._mac, self._fixed = str(port.mac_address), [str(fixed["ip_address"]) for fixed in port.fixed_ips]
        self._policy = self._access.policies.get(factors.policy, Policy())
        return self._settings

    async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
        """Gives {"status", "record": Nova's, "accepted_ns": when the API had answered, None where it did not}.
        destination: empty where Nova is to choose."""
        requested()
        try:
            await asyncio.to_thread(self._server.live_migrate, destination)
            answered = mono_ns()
            accepted: int | None = answered
            self.accepted(answered)
        except CloudError as error:
            accepted = None
            if not error.undecided:
                raise MigrationFailed(f"the migration was refused: {error}") from error
            if not await self._began():
                raise MigrationFailed(f"the request to migrate came to nothing: {error}") from error
        now, after_s = time.monotonic(), forced_after_s(self._policy)
        deadline, due = now + limit_s, None if after_s is None else now + after_s
        while True:
            server, record = await self._shown(), await self.record()
            status = record.get("status", "")
            if due is not None and status == "running" and time.monotonic() >= due and await self._force(record):
                due = time.monotonic() + _POLL_S if self._policy.post_copy else None
            settled = server["status"] in _AT_REST and server.get("OS-EXT-STS:task_state") is None
            if self._error:
                raise MigrationFailed(self._error)
            if settled and (status in ENDED or (not record and server.get("hostId") != self._first_host)):
                break
            if time.monotonic() > deadline:
                await self._abort(record)
                raise NotConverged(f"still {status or server['status']} after {limit_s:g} s; cancelled")
            await asyncio.sleep(_POLL_S if due is None else _FORCE_S)
        if record and status != "completed":
            raise MigrationFailed(f"Compute says {status}{await self._fault()}")
        return {"status": "completed", "record": record, "accepted_ns": accepted}

    def accepted(self, at_ns: int) -> None:
        """Called when the API has taken the request for a migration."""

    async def _force(self, record: dict[str, Any]) -> bool:
        """Asks Compute to force the migration's end; False where it does not take that yet. That it took it says
        little of post-copy: before QEMU has begun it comes to nothing, and the record stays as it was."""
        try:
            return await asyncio.to_thread(self._server.forced_complete, record["id"])
        except CloudError as error:
            raise MigrationFailed(f"the policy cannot be carried out: {error}") from error

    async def _began(self) -> bool:
        """Whether a migration began although the request for it was not answered, or not well: it is never asked for
        again."""

        async def seen() -> bool:
            server, record = await self._shown(), await self.record()
            return bool(record or server.get("OS-EXT-STS:task_state") or server["hostId"] != self._first_host)

        with contextlib.suppress(WaitTimeout):
            await wait_until(seen, _DOUBT_S, "a migration is seen", _POLL_S)
            return True
        return False

    async def _fault(self) -> str:
        """What the API says of the newest action that failed, ": " before it; empty where it says nothing."""
        with contextlib.suppress(CloudError, KeyError, IndexError):
            actions = await asyncio.to_thread(self._server.actions)
            newest = next(action for action in actions if action["action"] == "live-migration")
            detail = await asyncio.to_thread(self._server.action, newest["request_id"])
            failed = [event for event in detail.get("events") or [] if event.get("result") != "Success"]
            return ": " + "; ".join(str(event.get("details") or event["event"]) for event in failed) if failed else ""
        return ""

    async def _abort(self, record: dict[str, Any]) -> None:
        """Asks Compute to give the migration up, and waits until it has."""
        if not record:
            return
        with contextlib.suppress(CloudError):
            await asyncio.to_thread(self._server.abort, record["id"])

        async def ended() -> bool:
            return (await self.record()).get("status") in ENDED

        with contextlib.suppress(WaitTimeout):
            await wait_until(ended, _ABORT_S, "the migration is cancelled", _POLL_S)

    async def place(self, destination: str) -> PostCheck:
        """Where Compute says that it runs; where it names no hosts, that it is another than before."""
        try:
            server = await self._shown()
        except CloudError as error:
            return PostCheck("unknown", str(error))
        where = server.get("OS-EXT-SRV-ATTR:hypervisor_hostname")
        active = server["status"] == "ACTIVE"
        if where is not None and destination:
            return PostCheck("pass" if where == destination and active else "fail", f"{server['status']} on {where}")
        moved = server["hostId"] != self._first_host
        words = f"{server['status']} on {'another host than' if moved else 'the same host as'} before, by its hostId"
        return PostCheck("pass" if moved and active else "fail", words)

    async def offline(self) -> OfflineVolume | None:
        """None: nobody can read a volume of another's cloud."""
        return None

    async def destroy(self) -> None:
        """Removes everything of it. What the API does not let go the next run, or clean, finds."""
        with contextlib.suppress(CloudError):
            await asyncio.to_thread(self._resources.remove, self.name)


def login(cloud: str, clouds_yaml: Path | None) -> dict[str, Any]:
    """How a probe finds the cloud; no secret is in it."""
    return {"cloud": cloud, "clouds_yaml": str(clouds_yaml) if clouds_yaml else ""}
