"""What an operator asks Nova for while a migration runs."""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from migrascope.cloud.client import Cloud, CloudError

Request = tuple[str, str, dict[str, Any] | None]


class Command(ABC):
    """One request to the API about the newest migration of a server."""

    def __init__(self, cloud: Cloud, server: str) -> None:
        self._cloud, self._server = cloud, server

    @abstractmethod
    def request(self, server: str, migration: dict[str, Any]) -> Request:
        """Its method, path and body. server: its path."""

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        """CloudError where there is no migration, or where the API refuses or does not answer."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> str:
        path = f"/os-migrations?instance_uuid={self._server}&migration_type=live-migration"
        found = self._cloud.compute("GET", path)["migrations"]
        if not found:
            raise CloudError(f"server {self._server} has no migration")
        newest = max(found, key=lambda one: int(one["id"]))
        self._cloud.compute(*self.request(f"/servers/{self._server}", newest))
        return f"Nova took it, the migration being {newest['status']}"

    async def heal(self) -> None:
        return


class Abort(Command):
    """Compute API: DELETE /servers/{id}/migrations/{id}."""

    def request(self, server: str, migration: dict[str, Any]) -> Request:
        return "DELETE", f"{server}/migrations/{migration['id']}", None


class ForceComplete(Command):
    """Compute API: force_complete, from 2.22 on."""

    def request(self, server: str, migration: dict[str, Any]) -> Request:
        return "POST", f"{server}/migrations/{migration['id']}/action", {"force_complete": None}


class SecondMigration(Command):
    """The same migration once more; that Nova refuses it is the answer, not a failure."""

    def request(self, server: str, migration: dict[str, Any]) -> Request:
        body = {"host": migration["dest_compute"], "block_migration": "auto"}
        return "POST", f"{server}/action", {"os-migrateLive": body}

    async def apply(self) -> str:
        try:
            return await super().apply()
        except CloudError as error:
            if error.undecided:
                raise
            return f"refused ({error.status}): {error}"
