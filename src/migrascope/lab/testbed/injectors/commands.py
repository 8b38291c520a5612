"""What an operator asks Nova for while a migration runs."""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from migrascope.cloud.client import CloudError
from migrascope.cloud.server import Server


class Command(ABC):
    """One request to the API about the newest migration of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @abstractmethod
    def request(self, migration: dict[str, Any]) -> None:
        """Asks. migration: its record."""

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        """CloudError where there is no migration, or where the API refuses or does not answer."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> str:
        newest = self._server.newest_migration()
        if not newest:
            raise CloudError(f"server {self._server.id} has no migration")
        self.request(newest)
        return f"Nova took it, the migration being {newest['status']}"

    async def heal(self) -> None:
        return


class Abort(Command):
    """Gives the migration up."""

    def request(self, migration: dict[str, Any]) -> None:
        self._server.abort(migration["id"])


class ForceComplete(Command):
    """Forces the migration's end (API 2.22 and later)."""

    def request(self, migration: dict[str, Any]) -> None:
        self._server.force_complete(migration["id"])


class SecondMigration(Command):
    """The same migration once more; that Nova refuses it is the answer, not a failure."""

    def request(self, migration: dict[str, Any]) -> None:
        self._server.live_migrate(migration["dest_compute"])

    async def apply(self) -> str:
        try:
            return await super().apply()
        except CloudError as error:
            if error.undecided:
                raise
            return f"refused ({error.status}): {error}"
