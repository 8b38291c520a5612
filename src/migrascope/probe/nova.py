"""What a cloud's API says of a server while it is migrated: table api.

Config: cloud and clouds_yaml (where its access is; empty: where openstacksdk looks), server and port (ids), interval_s.
On a monotonic grid the server, its newest migration record, its running migration and its port's bindings are asked
for, one after another on one connection; at the end its instance actions. Nothing is repeated: an answer that fails is
a row with its error, and the next due stamp asks again. What we may not see (403) is asked for once.
"""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from migrascope.cloud.client import Cloud, CloudError, answered
from migrascope.cloud.server import Server
from migrascope.node.program import Program
from migrascope.store.spool import Spool

_FORBIDDEN = 403
_SILENT_S = 10.0


class Watch:
    """The questions, and the spool in which each answer is a row."""

    def __init__(self, cloud: Cloud, server: str, port: str, spool: Spool) -> None:
        self._server, self._spool = Server(cloud, server), spool
        network = cloud.connection.network
        self._questions: dict[str, Callable[[], Any]] = {
            "server": self._server.show,
            "record": lambda: self._server.migrations("&limit=1"),
            "running": self._server.running_migrations,
            "bindings": lambda: cloud.once(lambda: answered(network.get(f"/ports/{port}/bindings")))["bindings"],
        }

    def ask(self) -> None:
        """Asks everything once more."""
        for what in list(self._questions):
            self._ask(what, self._questions[what])

    def _ask(self, what: str, question: Callable[[], Any]) -> None:
        asked = time.monotonic_ns()
        try:
            answer = json.dumps(question())
            self._spool.add(asked, time.monotonic_ns(), what, answer, "")
        except (CloudError, KeyError, ValueError) as error:
            self._spool.add(asked, time.monotonic_ns(), what, "", str(error))
            if isinstance(error, CloudError) and error.status == _FORBIDDEN:
                del self._questions[what]

    def actions(self) -> None:
        """The server's instance actions with their events."""

        def question() -> list[Any]:
            return [self._server.action(action["request_id"]) for action in self._server.actions()]

        self._ask("actions", question)


async def main(program: Program) -> None:
    config = program.config
    access = Path(config["clouds_yaml"]) if config["clouds_yaml"] else None
    cloud = Cloud.connect(config["cloud"], access, silent_s=_SILENT_S).impatient()
    with program.spool("api") as spool:
        watch = Watch(cloud, config["server"], config["port"], spool)
        await asyncio.to_thread(watch.ask)
        program.ready()
        async for _ in program.grid(config["interval_s"]):
            await asyncio.to_thread(watch.ask)
        await asyncio.to_thread(watch.actions)
        await program.ended()


if __name__ == "__main__":
    Program.from_argv().run(main)
