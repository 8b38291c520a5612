"""One server of a cloud and its live migrations, through the Compute API."""

from typing import Any

from migrascope.cloud.client import Cloud, CloudError

_NOT_YET = (400, 409)


class Server:
    """A server by its id. Every method blocks: call it in a thread. CloudError with the API's own words.

    Source: Compute API reference, servers, servers' migrations, migrations, servers' actions.
    """

    def __init__(self, cloud: Cloud, server: str) -> None:
        self._cloud, self.id, self._path = cloud, server, f"/servers/{server}"

    def show(self) -> dict[str, Any]:
        """What Compute says of it."""
        found: dict[str, Any] = self._cloud.compute("GET", self._path)["server"]
        return found

    def act(self, action: dict[str, Any]) -> dict[str, Any]:
        """Asks for one of its actions, such as {"os-start": None}."""
        return self._cloud.compute("POST", f"{self._path}/action", action)

    def delete(self) -> None:
        """Asks for its end; it is still there for a while."""
        self._cloud.compute("DELETE", self._path)

    def is_gone(self) -> bool:
        """Whether Compute knows it no more; False where it does not answer."""
        try:
            self.show()
        except CloudError as error:
            return error.status == 404
        return False

    def live_migrate(self, destination: str) -> None:
        """Asks for a live migration. destination: a host's name, empty where Compute is to choose one."""
        self.act({"os-migrateLive": {"host": destination or None, "block_migration": "auto"}})

    def migrations(self, query: str = "") -> list[dict[str, Any]]:
        """The records of its live migrations, for whoever may see them. query: more of the request, as in &limit=1."""
        path = f"/os-migrations?instance_uuid={self.id}&migration_type=live-migration{query}"
        found: list[dict[str, Any]] = self._cloud.compute("GET", path)["migrations"]
        return found

    def newest_migration(self) -> dict[str, Any]:
        """The record of its newest live migration, {} where there is none."""
        return max(self.migrations(), key=lambda record: int(record["id"]), default={})

    def running_migrations(self) -> list[dict[str, Any]]:
        """Its migrations that have not ended, with the counts of their bytes."""
        found: list[dict[str, Any]] = self._cloud.compute("GET", f"{self._path}/migrations")["migrations"]
        return found

    def abort(self, migration: int) -> None:
        """Asks for the end of a running migration, the server staying where it is. migration: the record's id."""
        self._cloud.compute("DELETE", f"{self._path}/migrations/{migration}")

    def force_complete(self, migration: int) -> None:
        """Asks for the end of a running migration's copy: by post-copy, or by stopping the guest."""
        self._cloud.compute("POST", f"{self._path}/migrations/{migration}/action", {"force_complete": None})

    def forced_complete(self, migration: int) -> bool:
        """As force_complete; False where it cannot be asked for yet."""
        try:
            self.force_complete(migration)
        except CloudError as error:
            if error.status in _NOT_YET:
                return False
            raise
        return True

    def actions(self) -> list[dict[str, Any]]:
        """All that was asked of it, the newest first, without their events."""
        found: list[dict[str, Any]] = self._cloud.compute("GET", f"{self._path}/os-instance-actions")["instanceActions"]
        return found

    def action(self, request: str) -> dict[str, Any]:
        """One of its actions with its events. request: the action's request_id."""
        path = f"{self._path}/os-instance-actions/{request}"
        found: dict[str, Any] = self._cloud.compute("GET", path)["instanceAction"]
        return found
