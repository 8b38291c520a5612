"""What an operator asks Nova for while a migration runs. A refusal is an answer, not a failure: it is in the note."""

import asyncio
from collections.abc import Callable
from typing import Any

from migrascope.cloud.client import Cloud, CloudError


class Command:
    """One request to the API. make: its method, path and body, from the newest migration of the server."""

    def __init__(
        self, cloud: Cloud, server: str, make: Callable[[str, dict[str, Any]], tuple[str, str, dict[str, Any] | None]]
    ) -> None:
        self._cloud, self._server, self._make = cloud, server, make

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        """Problem where there is no migration, or the API does not answer."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> str:
        path = f"/os-migrations?instance_uuid={self._server}&migration_type=live-migration"
        found = self._cloud.compute("GET", path)["migrations"]
        if not found:
            raise CloudError(f"server {self._server} has no migration")
        newest = max(found, key=lambda one: int(one["id"]))
        try:
            self._cloud.compute(*self._make(f"/servers/{self._server}", newest))
        except CloudError as error:
            if error.undecided:
                raise
            return f"refused ({error.status}): {error}"
        return f"Nova took it, the migration being {newest['status']}"

    async def heal(self) -> None:
        return


def abort(server: str, migration: dict[str, Any]) -> tuple[str, str, None]:
    """Compute API: DELETE /servers/{id}/migrations/{id}."""
    return "DELETE", f"{server}/migrations/{migration['id']}", None


def force_complete(server: str, migration: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Compute API: force_complete, from 2.22 on."""
    return "POST", f"{server}/migrations/{migration['id']}/action", {"force_complete": None}


def second_migration(server: str, migration: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """The same migration once more."""
    body = {"host": migration["dest_compute"], "block_migration": "auto"}
    return "POST", f"{server}/action", {"os-migrateLive": body}
