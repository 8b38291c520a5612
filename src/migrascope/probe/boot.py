"""The boot id that a machine says by HTTP: table boot.

Config: targets, each {source, instance, url}; part_s: seconds after which a spool goes on in another file, None: never.
A URL is asked once a second, each time on a connection of its own, and its answer is given up after GIVEN_UP_S: a text
as that of Linux's /proc/sys/kernel/random/boot_id, or a JSON object with "boot_id", as the guest's agent sends it.
Where the server answers 429 (RFC 6585), nothing is asked for as long as it says, or PAUSE_S at least.
"""

import asyncio
import json
import re
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from migrascope.model.manners import TOO_MANY, pause_s
from migrascope.model.observation import BOOT_RATE
from migrascope.node.program import Program
from migrascope.probe.fetches import GIVEN_UP_S, session
from migrascope.store.spool import Spool

_TICK_S = 0.05
_MOST_BYTES = 4096
_ID = re.compile(r"[0-9A-Za-z._:-]{1,100}")


class NoBootId(Exception):
    """What was answered is no boot id; the text says what it is."""


def boot_id_of(body: bytes) -> str:
    """The boot id in an answer. NoBootId where there is none."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        try:
            text = str(json.loads(text)["boot_id"])
        except (ValueError, KeyError, RecursionError):
            raise NoBootId('a JSON object without "boot_id"') from None
    if not _ID.fullmatch(text):
        raise NoBootId(f"no boot id, but {text[:40]!r}")
    return text


async def asked(client: aiohttp.ClientSession, url: str) -> tuple[str, float]:
    """The boot id at the URL, and 0; or none, and for how many seconds the server wants to be left alone. NoBootId,
    ClientError, OSError (TimeoutError, too) where nobody says one."""
    async with client.get(url, allow_redirects=False) as response:
        body = await response.content.read(_MOST_BYTES)
        if response.status == TOO_MANY:
            return "", pause_s(response.headers.get("Retry-After"), time.time())
        if response.status != 200:
            raise NoBootId(f"status {response.status} instead of 200")
        return boot_id_of(body), 0.0


class Asker:
    """Asks one URL, and records what it says."""

    def __init__(self, client: aiohttp.ClientSession, url: str, spool: Spool) -> None:
        self._client, self._url, self._spool = client, url, spool
        self._silent_until_ns = 0

    async def ask(self, _: int, __: int) -> None:
        """Asks, unless the server has asked for a pause."""
        asked_ns = time.monotonic_ns()
        if asked_ns < self._silent_until_ns:
            return
        found, problem = "", ""
        try:
            found, left_alone_s = await asked(self._client, self._url)
        except TimeoutError:
            problem = f"no answer within {GIVEN_UP_S:g} s"
        except (NoBootId, aiohttp.ClientError, OSError) as error:
            problem = str(error)
        else:
            if left_alone_s:
                problem = f"status {TOO_MANY}: it asks to be left alone for {left_alone_s:g} s"
                self._silent_until_ns = time.monotonic_ns() + round(1e9 * left_alone_s)
        self._spool.add(asked_ns, time.monotonic_ns(), found, problem)


async def main(program: Program) -> None:
    """Asks until the program drains, takes answers until it ends."""
    config = program.config
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(session(GIVEN_UP_S))
        askers, spools = [], []
        for target in config["targets"]:
            spool = Spool(
                Path(config["directory"]), "boot", source=target["source"], host=config["host"],
                instance=target["instance"], migration=config["migration"], part_s=config["part_s"],
            )  # fmt: skip
            spools.append(stack.enter_context(spool))
            askers.append(Asker(client, target["url"], spool))
        program.ready()
        start = time.monotonic_ns()
        async with asyncio.TaskGroup() as group:
            for asker in askers:
                group.create_task(program.at_each(program.schedule(start, BOOT_RATE), asker.ask))
            async for _ in program.grid(_TICK_S, drain=False):
                for spool in spools:
                    spool.tick()


if __name__ == "__main__":
    Program.from_argv().run(main)
