"""Compute of the fake cloud: servers that run nowhere, and migrations that take a set time, so many at once a host."""

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakecloud import FakeCloud

RUNNING = ("accepted", "queued", "preparing", "running")


class Refused(Exception):
    """A request that the API refuses."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakeNova:
    """end: how migrations end: completed, error (rolled back), stuck, refused. at_once: max_concurrent_live_migrations.
    birth: the state in which a new server is found. vain: how often the end of a stuck one is forced in vain. together:
    none ends before so many have run at once, however slowly they are asked for."""

    def __init__(self, cloud: "FakeCloud", hosts: tuple[str, ...]) -> None:
        self._cloud, self.hosts = cloud, hosts
        self.servers: dict[str, dict[str, Any]] = {}
        self.flavors: dict[str, dict[str, Any]] = {}
        self.migrations: list[dict[str, Any]] = []
        self.end, self.migration_s, self.at_once, self.birth = "completed", 0.0, 1, "ACTIVE"
        self.vain = 0
        self.most_at_once = self.together = 0
        self._met: float | None = None

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, admin: bool) -> Any:
        def need_admin(what: str) -> None:
            if not admin:
                raise Refused(403, f"Policy doesn't allow {what} to be performed.")

        self.advance()
        kind, *rest = path.split("/")
        if kind == "limits":
            return {"limits": {"rate": [], "absolute": self._limits()}}
        if kind == "flavors":
            if method == "POST":
                need_admin("os_compute_api:os-flavor-manage:create")
                made = {"id": self._cloud.new_id(), "swap": 0, **body["flavor"]}
                self.flavors[made["id"]] = made
                return {"flavor": made}
            if method == "DELETE":
                need_admin("os_compute_api:os-flavor-manage:delete")
                del self.flavors[rest[0]]
                return None
            return {"flavors": list(self.flavors.values())}
        if kind == "os-hypervisors":
            need_admin("os_compute_api:os-hypervisors:list")
            found = {"state": "up", "status": "enabled", "hypervisor_version": 10000000, "hypervisor_type": "QEMU"}
            return {"hypervisors": [{"id": name, "hypervisor_hostname": name, **found} for name in self.hosts]}
        if kind == "os-migrations":
            need_admin("os_compute_api:os-migrations:index")
            wanted = [
                migration
                for migration in self.migrations
                if query.get("instance_uuid") in (None, migration["instance_uuid"])
            ]
            return _page("migrations", sorted(wanted, key=lambda item: -item["id"]), "uuid", query)
        if kind == "servers":
            return self._servers(method, rest, query, body, admin, need_admin)
        raise Refused(404, f"{path} is nothing that the fake cloud knows")

    def _limits(self) -> dict[str, int]:
        quotas, servers = self._cloud.quotas, self.servers.values()
        flavors = [self.flavors.get(server["flavorRef"], {"ram": 1024, "vcpus": 1}) for server in servers]
        return {
            "maxTotalInstances": quotas["instances"], "totalInstancesUsed": len(flavors),
            "maxTotalCores": quotas["cores"], "totalCoresUsed": sum(flavor["vcpus"] for flavor in flavors),
            "maxTotalRAMSize": quotas["ram"], "totalRAMUsed": sum(flavor["ram"] for flavor in flavors),
        }  # fmt: skip

    def _servers(
        self, method: str, rest: list[str], query: dict[str, str], body: Any, admin: bool, need_admin: Any
    ) -> Any:
        if method == "POST" and not rest:
            given = body["server"]
            if "host" in given:
                need_admin("compute:servers:create:requested_destination")
            if len(self.servers) >= self._cloud.quotas["instances"]:
                raise Refused(403, "Quota exceeded for instances: Requested 1, but already used all instances")
            return {"server": {"id": self.add(**given)["id"]}}
        if not rest or rest[0] == "detail":
            request = set(query["tags"].split(",")) if "tags" in query else set()
            found = [record for record in self.servers.values() if request <= set(record["tags"])]
            found = [record for record in found if re.search(query.get("name", ""), record["name"])]
            page = _page("servers", found, "id", query)
            return page | {"servers": [self._shown(item, admin) for item in page["servers"]]}
        server = self.servers.get(rest[0])
        if server is None:
            raise Refused(404, f"Instance {rest[0]} could not be found.")
        own = [migration for migration in self.migrations if migration["instance_uuid"] == server["id"]]
        match method, rest[1:]:
            case "GET", []:
                return {"server": self._shown(server, admin)}
            case "DELETE", []:
                del self.servers[server["id"]]
                for volume in self._cloud.things["volumes"].values():
                    if volume.get("server") == server["id"]:
                        volume["status"] = "available"
                return None
            case "GET", ["migrations"]:
                need_admin("os_compute_api:servers:migrations:index")
                return {"migrations": [record for record in own if record["status"] in RUNNING]}
            case "DELETE", ["migrations", number]:
                row = next(record for record in own if record["id"] == int(number))
                row["status"] = "cancelled"
                server["OS-EXT-STS:task_state"], server["status"] = None, "ACTIVE"
                return None
            case "POST", ["migrations", number, "action"] if "force_complete" in body:
                need_admin("os_compute_api:servers:migrations:force_complete")
                row = next(record for record in own if record["id"] == int(number))
                if row["status"] != "running":
                    raise Refused(400, f"Migration {number} state of instance is {row['status']}.")
                self.vain -= 1
                self.end = self.end if self.vain >= 0 else "completed"
                return None
            case "GET", ["os-instance-actions", *which]:
                event = {"event": "compute__do_live_migration", "result": "Error", "details": "the fake rolled back"}
                action = {"action": "live-migration", "request_id": "req-1", "events": [event]}
                return {"instanceAction": action} if which else {"instanceActions": [action]}
            case "POST", ["action"] if "os-migrateLive" in body:
                need_admin("os_compute_api:os-migrate-server:migrate_live")
                self._migrate(server, body["os-migrateLive"]["host"])
                return None
            case "POST", ["action"]:
                return {"output": ""}
        raise Refused(404, "nothing that the fake cloud knows")

    def add(self, **given: Any) -> dict[str, Any]:
        """A server as if somebody had made it."""
        made: dict[str, Any] = {
            "tags": [], "status": self.birth, "OS-EXT-STS:task_state": None, "flavorRef": "", **given,
            "id": self._cloud.new_id(), "where": given.get("host", self.hosts[0]),
        }  # fmt: skip
        if self.birth == "ERROR":
            made["fault"] = {"message": "No valid host was found."}
        self.servers[made["id"]] = made
        for disk in given.get("block_device_mapping_v2", []):
            self._cloud.things["volumes"][disk["uuid"]] |= {"status": "in-use", "server": made["id"]}
        return made

    def _shown(self, server: dict[str, Any], admin: bool) -> dict[str, Any]:
        keys = ("id", "name", "status", "tags", "OS-EXT-STS:task_state", "fault")
        shown = {key: server[key] for key in keys if key in server}
        shown["hostId"] = hashlib.sha224(server["where"].encode()).hexdigest()
        if admin:
            shown["OS-EXT-SRV-ATTR:hypervisor_hostname"] = server["where"]
        return shown

    def _migrate(self, server: dict[str, Any], host: str | None) -> None:
        if self.end == "refused":
            raise Refused(400, "Compute host two is not compatible: the fake refuses.")
        if server["OS-EXT-STS:task_state"] is not None:
            raise Refused(409, "Cannot 'os-migrateLive' instance while it is in task_state migrating")
        source = server["where"]
        target = host or next(name for name in self.hosts if name != source)
        server |= {"OS-EXT-STS:task_state": "migrating", "status": "MIGRATING"}
        number = len(self.migrations) + 1
        self.migrations.append({
            "id": number, "uuid": f"m-{number}", "instance_uuid": server["id"], "status": "queued",
            "source_compute": source, "dest_compute": target, "migration_type": "live-migration", "began": None,
        })  # fmt: skip

    def advance(self) -> None:
        """Lets time pass: migrations end when theirs is over, and those that wait begin, so many at once a host."""
        now = time.monotonic()
        busy: dict[str, int] = {}
        for migration in self.migrations:
            if migration["status"] == "running" and self.end != "stuck" and self._over(migration["began"], now):
                server = self.servers.get(migration["instance_uuid"])
                migration["status"] = self.end
                if server is not None:
                    server |= {"OS-EXT-STS:task_state": None, "status": "ACTIVE"}
                    server["where"] = migration["dest_compute"] if self.end == "completed" else server["where"]
            elif migration["status"] == "running":
                busy[migration["source_compute"]] = busy.get(migration["source_compute"], 0) + 1
        for migration in self.migrations:
            if migration["status"] == "queued" and busy.get(migration["source_compute"], 0) < self.at_once:
                migration |= {"status": "running", "began": now}
                busy[migration["source_compute"]] = busy.get(migration["source_compute"], 0) + 1
        self.most_at_once = max([self.most_at_once, *busy.values()])
        if self._met is None and self.most_at_once >= self.together:
            self._met = now

    def _over(self, began: float, now: float) -> bool:
        return self._met is not None and now >= max(began, self._met) + self.migration_s


def _page(key: str, found: list[dict[str, Any]], marker: str, query: dict[str, str]) -> dict[str, Any]:
    start = next((at + 1 for at, row in enumerate(found) if row[marker] == query.get("marker")), 0)
    end = start + int(query.get("limit", 1000))
    return {key: found[start:end], **({f"{key}_links": []} if end < len(found) else {})}
