"""Commands to Compute that disturb a migration: each is one request."""

from typing import Any, cast

import pytest

from migrascope.cloud.client import Cloud, CloudError
from migrascope.cloud.server import Server
from migrascope.lab.testbed.injectors import commands


class Api:
    """A cloud with one migration, that refuses with a status where it has one."""

    def __init__(self, refuses: int | None = None, migrations: int = 1) -> None:
        self.asked: list[Any] = []
        self.refuses, self.migrations = refuses, migrations

    def compute(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        if "os-migrations" in path:
            row = {"id": 7, "status": "running", "dest_compute": "two"}
            return {"migrations": [row, row | {"id": 6}][: self.migrations]}
        self.asked.append((method, path, body))
        if self.refuses is not None:
            raise CloudError("no", self.refuses)
        return {}


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (commands.Abort, ("DELETE", "/servers/s/migrations/7", None)),
        (commands.ForceComplete, ("POST", "/servers/s/migrations/7/action", {"force_complete": None})),
        (
            commands.SecondMigration,
            ("POST", "/servers/s/action", {"os-migrateLive": {"host": "two", "block_migration": "auto"}}),
        ),
    ],
)
async def test_a_command_is_one_request(command: type[commands.Command], asked: Any) -> None:
    api = Api(migrations=2)
    assert await command(Server(cast(Cloud, api), "s")).apply() == "Nova took it, the migration being running"
    assert api.asked == [asked]


async def test_only_a_second_migration_is_answered_by_a_refusal() -> None:
    assert await commands.SecondMigration(Server(cast(Cloud, Api(409)), "s")).apply() == "refused (409): no"
    for command in (commands.Abort, commands.ForceComplete):
        with pytest.raises(CloudError, match="no"):
            await command(Server(cast(Cloud, Api(400)), "s")).apply()


@pytest.mark.parametrize("api", [Api(500), Api(0), Api(migrations=0)])
@pytest.mark.parametrize("command", [commands.Abort, commands.SecondMigration])
async def test_no_answer_is_no_effect(command: type[commands.Command], api: Api) -> None:
    with pytest.raises(CloudError):
        await command(Server(cast(Cloud, api), "s")).apply()
