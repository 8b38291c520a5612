"""Helpers for tests of recording programs: one that records into a folder, and what it has recorded."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from migrascope.model.tables import TABLES
from migrascope.node.program import Program
from migrascope.store import spool

Row = dict[str, Any]


def program(folder: Path, source: str = "test", **config: Any) -> Program:
    """A program that is not a process, recording into `folder`."""
    constants = {"directory": str(folder), "source": source, "host": "client", "instance": "i", "migration": "m"}
    return Program({**constants, **config})


def rows(folder: Path, table: str, source: str = "test") -> list[Row]:
    """What has been recorded so far."""
    path = folder / f"{table}@{source}.jsonl"
    if not path.exists():
        return []
    return [dict(zip(TABLES[table].columns, row, strict=True)) for row in spool.Follower(path).rows()]


async def until(condition: Callable[[], Any], limit_s: float = 30.0) -> None:
    """Waits for a condition; TimeoutError when it does not come true."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Running:
    """A program's main under way: `async with Running(main, program): ...` drains and ends it, and raises its error."""

    def __init__(self, main: Callable[[Program], Awaitable[None]], running: Program) -> None:
        self._main, self._program = main, running

    async def __aenter__(self) -> Program:
        self._task = asyncio.ensure_future(self._main(self._program))
        return self._program

    async def __aexit__(self, *_: object) -> None:
        self._program.stop(ending=True)
        async with asyncio.timeout(30):
            await self._task
