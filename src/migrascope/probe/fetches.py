"""Fetches of pages as probes, many from one process: tables echo_sent, echo_reply and back_off of each.

Config: targets, each {source, instance, url, rate (1/s)}; a target's source names its spools. part_s: seconds after
which a spool goes on in another file. A fetch has a connection of its own; its reply is the whole page with status 200.
One that takes GIVEN_UP_S is given up. Where the server answers 429 (RFC 6585), nothing is asked for as long as it says,
or PAUSE_S at least.
"""

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from migrascope.model.manners import TOO_MANY, pause_s
from migrascope.node.program import Program
from migrascope.store.spool import Spool

GIVEN_UP_S = 2.0
_TICK_S = 0.05
_TABLES = ("echo_sent", "echo_reply", "back_off")
_SAME_NS = 1_000_000_000
"""Fetches that are under way together are answered alike: a pause is another one where it ends so much later."""


class Page:
    """One page. Fetches are counted as they are sent: what is left out has no number."""

    def __init__(self, session: aiohttp.ClientSession, url: str, sent: Spool, replies: Spool, pauses: Spool) -> None:
        self._session, self._url, self._sent, self._replies, self._pauses = session, url, sent, replies, pauses
        self._seq = self._silent_until_ns = 0

    async def fetch(self, _: int, due_ns: int) -> None:
        """Fetches it, unless the server has asked for a pause."""
        sent_ns = time.monotonic_ns()
        if sent_ns < self._silent_until_ns:
            return
        seq, self._seq = self._seq, self._seq + 1
        self._sent.add(seq, due_ns, sent_ns)
        with contextlib.suppress(aiohttp.ClientError, OSError):  # TimeoutError, too: it is lost
            async with self._session.get(self._url, allow_redirects=False) as response:
                await response.read()
                wall_ns, now_ns = time.time_ns(), time.monotonic_ns()
                if response.status == TOO_MANY:
                    asked_s = pause_s(response.headers.get("Retry-After"), time.time())
                    until_ns = now_ns + round(1e9 * asked_s)
                    if until_ns > self._silent_until_ns + _SAME_NS:
                        self._silent_until_ns = until_ns
                        self._pauses.add(now_ns, until_ns, f"HTTP: status {TOO_MANY}")
                elif response.status == 200:
                    self._replies.add(seq, wall_ns, now_ns)


def session(limit_s: float) -> aiohttp.ClientSession:
    """A client without memory: each request has a connection of its own and no cookie."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=limit_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


async def main(program: Program) -> None:
    """Fetches until the program drains, takes answers until it ends."""
    config = program.config
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(session(GIVEN_UP_S))
        spools: list[Spool] = []
        pages = []
        for target in config["targets"]:
            own = [stack.enter_context(_spool(config, target, table)) for table in _TABLES]
            spools += own
            pages.append((target["rate"], Page(client, target["url"], *own)))
        program.ready()
        start = time.monotonic_ns()
        async with asyncio.TaskGroup() as group:
            for rate, page in pages:
                group.create_task(program.at_each(program.schedule(start, rate), page.fetch))
            async for _ in program.grid(_TICK_S, drain=False):
                for spool in spools:
                    spool.tick()


def _spool(config: dict[str, Any], target: dict[str, Any], table: str) -> Spool:
    return Spool(
        Path(config["directory"]), table, source=target["source"], host=config["host"], instance=target["instance"],
        migration=config["migration"], part_s=config["part_s"],
    )  # fmt: skip


if __name__ == "__main__":
    Program.from_argv().run(main)
