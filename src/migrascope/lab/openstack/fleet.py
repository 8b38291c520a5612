"""A fleet of servers in a cloud: made, watched and removed with lists, never with a request for each."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from migrascope.cloud.client import Cloud, CloudError
from migrascope.cloud.pace import Pace
from migrascope.cloud.server import Server
from migrascope.lab.fleet import Look, State
from migrascope.lab.openstack import leftovers
from migrascope.lab.openstack.resources import Ground, Resources
from migrascope.node.process_spec import ProcessSpec

_MAKE_S, _MAKE_EACH_S = 300.0, 10.0
_FORBIDDEN = 403
_CLOCKS_S = 600.0
"""So far the cloud's clock may be behind ours."""
_DOUBTS = 5


class CloudFleet:
    """Servers named PREFIX-1, PREFIX-2, ...; in the trial vm-1, vm-2, ... Use `make`, which blocks."""

    def __init__(
        self,
        resources: Resources,
        prefix: str,
        count: int,
        pace: Pace,
        links: list[ProcessSpec],
        settings: dict[str, Any],
    ) -> None:
        self._resources, self._pace, self._links, self.settings = resources, pace, links, settings
        self._names = {f"{prefix}-{number}": f"vm-{number}" for number in range(1, count + 1)}
        self._ids: dict[str, str] = {}
        self._records: dict[str, dict[str, Any]] = {}
        self._shown = True
        self._since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - _CLOCKS_S))
        self.addresses: Mapping[str, str] = {}

    @property
    def _cloud(self) -> Cloud:
        return self._resources.cloud

    def make(self, ground: Ground, flavor: str, host: str) -> None:
        """Makes all servers and waits until they are ACTIVE. What it made stays when it raises, until `destroy`."""
        resources = self._resources
        volumes = {name: resources.volume(name, ground) for name in self._names}
        ports = {name: resources.port(name, ground) for name in self._names}
        self._await("volumes", "available", set(volumes.values()), self._volumes)
        for name in self._names:
            self._ids[name] = resources.server(name, flavor, host, volumes[name], ports[name])
        self._await("servers", "ACTIVE", set(self._ids.values()), self._servers_by_id)
        self.addresses = {vm: resources.address(ports[name], ground) for name, vm in self._names.items()}

    def _await(self, what: str, wanted: str, ids: set[str], look: Callable[[], dict[str, dict[str, Any]]]) -> None:
        deadline = time.monotonic() + _MAKE_S + _MAKE_EACH_S * len(ids)
        while True:
            found = {each: record for each, record in look().items() if each in ids}
            for row in found.values():
                if str(row["status"]).upper() == "ERROR":
                    fault = (row.get("fault") or {}).get("message", "no fault is told")
                    raise CloudError(f"cloud {self._cloud.name}: {row['name']} is in error: {fault}")
            if sum(record["status"] == wanted for record in found.values()) == len(ids):
                return
            if time.monotonic() > deadline:
                raise CloudError(f"cloud {self._cloud.name}: not all {len(ids)} {what} became {wanted} in time")

    def _volumes(self) -> dict[str, dict[str, Any]]:
        storage = self._cloud.connection.block_storage
        self._pace.take()
        found = self._cloud.idempotent(lambda: list(storage.volumes(limit=1000)))
        return {resource.id: {"status": resource.status, "name": resource.name} for resource in found}

    def _servers_by_id(self) -> dict[str, dict[str, Any]]:
        path = f"/servers/detail?tags={self._resources.request.run}"
        return {row["id"]: row for row in self._cloud.listed(path, "servers", before=self._pace.take)}

    async def look(self) -> Look:
        return await asyncio.to_thread(self._look)

    def _look(self) -> Look:
        before, asked = self._pace.requests, time.monotonic_ns()
        servers = self._servers_by_id()
        self._newest()
        states = {}
        for name, vm in self._names.items():
            row = servers.get(self._ids[name])
            if row is None:
                states[vm] = State("GONE", "", "", "")
                continue
            host = str(row.get("OS-EXT-SRV-ATTR:hypervisor_hostname") or row["hostId"])
            record = str(self._records.get(row["id"], {}).get("status", ""))
            fault = str((row.get("fault") or {}).get("message", ""))
            states[vm] = State(row["status"], str(row.get("OS-EXT-STS:task_state") or ""), host, record, fault)
        return Look(asked, time.monotonic_ns(), states, self._pace.requests - before)

    def _newest(self) -> None:
        """Each server's newest record of a migration; never asked for again once it is refused."""
        if not self._shown:
            return
        path = f"/os-migrations?migration_type=live-migration&changes-since={self._since}"
        ours = set(self._ids.values())
        try:
            for record in self._cloud.listed(path, "migrations", "uuid", before=self._pace.take):
                known = self._records.get(record["instance_uuid"])
                if record["instance_uuid"] in ours and (known is None or record["id"] >= known["id"]):
                    self._records[record["instance_uuid"]] = {key: record[key] for key in ("id", "status")}
        except CloudError as error:
            if error.status != _FORBIDDEN:
                raise
            self._shown = False

    def _server(self, vm: str) -> Server:
        return Server(self._cloud, next(self._ids[name] for name, known in self._names.items() if known == vm))

    async def migrate(self, name: str, destination: str) -> None:
        await asyncio.to_thread(self._migrate, self._server(name), destination)

    def _migrate(self, server: Server, destination: str) -> None:
        try:
            server.live_migrate(destination)
        except CloudError as error:
            if not error.undecided:
                raise
            for _ in range(_DOUBTS):
                self._pace.take()
                found = server.show()
                if found.get("OS-EXT-STS:task_state") or found["status"] != "ACTIVE":
                    return  # it began although the request for it was not answered
            raise

    async def cancel(self, name: str) -> None:
        server = self._server(name)
        record = self._records.get(server.id)
        if record is not None:
            await asyncio.to_thread(server.abort, record["id"])

    def links(self) -> list[ProcessSpec]:
        return self._links

    async def destroy(self) -> None:
        """Removes all of the fleet that is there. What the API does not let go the next run, or clean, finds."""
        with contextlib.suppress(CloudError):
            await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        request = self._resources.request
        found = leftovers.find(self._cloud, request.machine, set).left
        leftovers.remove(
            self._cloud,
            [leftover for leftover in found if leftover.run == request.run and leftover.kind != "security group"],
        )
