"""What every player does: requests on one kept connection, recorded as they come. Tables segment and arrival."""

import asyncio
import time
from typing import Any

import aiohttp

from migrascope.node.program import Program
from migrascope.store.spool import Spool
from migrascope.workload.flows import Lane

NS = 10**9
TIMEOUT_S = 10.0
RETRY_S = 0.5


class Player:
    """Asks for media one request at a time.

    A request that fails is made again: at once the first time, since the connection may only have died, then after
    0.5 s each. A request fails when its connection does, with any status but the one that was asked for, or after
    10 s. One for media that is gone (404, 410) is not repeated.
    """

    def __init__(self, program: Program, lane: Lane, segments: Spool, arrivals: Spool) -> None:
        self._program, self._lane = program, lane
        self._segments, self._arrivals = segments, arrivals
        self._seq = 0

    @staticmethod
    def now() -> int:
        return time.monotonic_ns()

    async def due(self, due_ns: int) -> bool:
        """Waits for a stamp; False when nothing more is to be asked for."""
        return await self._program.due(due_ns)

    async def text(self, url: str) -> str | None:
        """The whole of a playlist; None when the program drains before it came."""
        got = await self._until_there(url, None)
        return None if got is None else got[0].decode("utf-8")

    async def range(self, url: str, first: int, length: int) -> tuple[bytes, int] | None:
        """(bytes from `first` on, at most `length`; the size of the whole file); None when the program drains before.
        ValueError when the server does not do ranges."""
        got = await self._until_there(url, (first, first + length - 1))
        if got is None:
            return None
        total = got[1].rpartition("/")[2]
        if not total.isdigit():
            raise ValueError(f"{url}: no Content-Range with the size of the file, but {got[1]!r}")
        return got[0], int(total)

    async def _until_there(self, url: str, span: tuple[int, int] | None) -> tuple[bytes, str] | None:
        failures = 0
        while not self._program.draining:
            try:
                async with asyncio.timeout(TIMEOUT_S), self._ask(url, span) as response:
                    body = await response.read()
                    if response.status == _wanted(span):
                        return body, response.headers.get("Content-Range", "")
            except (aiohttp.ClientError, OSError):
                pass
            failures += 1
            await self._pause(failures)
        return None

    async def media(self, url: str, start_s: float, duration_s: float, span: tuple[int, int] | None = None) -> None:
        """Fetches one stretch of media (`span`: its first and last byte), again and again until it came whole, it is
        gone, or the program drains. Each attempt is a row of segment."""
        failures = 0
        while not self._program.draining:
            status, error = await self._attempt(url, start_s, duration_s, span)
            if not error or status in (404, 410):
                return
            failures += 1
            await self._pause(failures)

    async def _attempt(
        self, url: str, start_s: float, duration_s: float, span: tuple[int, int] | None
    ) -> tuple[int, str]:
        seq, self._seq = self._seq, self._seq + 1
        asked, done, received, status = time.monotonic_ns(), 0, 0, 0
        error = "not whole before the end"
        try:
            async with asyncio.timeout(TIMEOUT_S), self._ask(url, span) as response:
                status = response.status
                wanted = status == _wanted(span)
                async for chunk in response.content.iter_any():
                    received += len(chunk)
                    if wanted:
                        self._arrivals.add(time.monotonic_ns(), seq, len(chunk))
                done = time.monotonic_ns() if wanted else 0
                error = "" if wanted else f"status {status}"
        except TimeoutError:
            error = f"not whole within {TIMEOUT_S:g} s"
        except (aiohttp.ClientError, OSError) as problem:
            error = str(problem) or type(problem).__name__
        finally:
            self._segments.add(seq, start_s, duration_s, asked, done, received, status, error)
        return status, error

    def _ask(self, url: str, span: tuple[int, int] | None) -> Any:
        return self._lane.get(url, {"Range": f"bytes={span[0]}-{span[1]}"} if span else None)

    async def _pause(self, failures: int) -> None:
        if failures > 1:
            await self._program.due(time.monotonic_ns() + round(RETRY_S * NS))


def _wanted(span: tuple[int, int] | None) -> int:
    return 206 if span else 200
