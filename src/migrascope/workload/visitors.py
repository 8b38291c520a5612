"""Visitors of the website: open-loop visits with new and with kept connections. Tables visit and tcp_info.

Config: url (the page), new_rate, kept_rate (visits per second), kept_connections, seed (where in its interval each kind
begins). A visit is due at an absolute time, whatever became of those before it, and fails 10 s after that time. Where
the guest already has as many in its hands as it could answer within a few seconds, one that is due is not made, and its
row says so: else a guest that is late would never catch up. Nor is one made while the server wants to be left alone
(status 429). A `new` one opens a connection for itself. A `kept` one waits for its turn on connection seq mod
kept_connections; where that has died, it is opened again. sent_ns: when the visit's turn came; connected_ns: 0 where it
was there.
"""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from migrascope.model.load import NOT_SERVED
from migrascope.model.manners import TOO_MANY, pause_s
from migrascope.node.program import Program
from migrascope.workload.flows import Flows, Lane

TIMEOUT_S = 10.0
MOST_S, LEAST_MOST = 0.4, 20
"""Maximum number of visits of a kind in the guest's hands: so many seconds' worth of its rate, LEAST_MOST at least. A
guest that serves ten a second has answered what it has of both kinds within 5 s. A connection that is not made yet is
not in its hands: TCP asks for it again after 1, 3 and 7 s, and costs the guest nothing until then."""
NS = 10**9


class VisitError(Exception):
    """An answer that is not the whole page; the message is the row's error."""


@dataclass
class Visit:
    """One visit as it goes; a row of the table, but for `connection`."""

    kind: str
    seq: int
    due_ns: int
    sent_ns: int = 0
    connected_ns: int = 0
    first_byte_ns: int = 0
    done_ns: int = 0
    status: int = 0
    bytes: int = 0
    connection: int = 0
    error: str = ""


class Rows(Protocol):
    """Where visits are recorded."""

    def add(self, *row: Any) -> None:
        """Takes a row of the table visit."""


class Visitors:
    """All that visit one page. lanes: the kept connections, each with its turn."""

    def __init__(
        self,
        url: str,
        visits: Rows,
        flows: Flows,
        lanes: Sequence[tuple[Lane, asyncio.Lock]],
        rates: Mapping[str, float],
    ) -> None:
        self._url, self._visits, self._flows, self._lanes = url, visits, flows, lanes
        self._most = {kind: max(LEAST_MOST, round(MOST_S * rate)) for kind, rate in rates.items()}
        self._new: set[Lane] = set()
        self._kept = self._silent_until_ns = 0
        self._page_bytes: int | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, visits: Rows, flows: Flows, kept_connections: int, rates: Mapping[str, float]
    ) -> AsyncIterator["Visitors"]:
        """Visitors with so many kept connections, which are closed at the end. rates: visits a second of each kind."""
        async with AsyncExitStack() as stack:
            lanes = [await stack.enter_async_context(Lane(flows, "kept", kept=True)) for _ in range(kept_connections)]
            yield cls(url, visits, flows, [(lane, asyncio.Lock()) for lane in lanes], rates)

    async def on_new(self, seq: int, due_ns: int) -> None:
        """A visit with a connection of its own."""
        if self._refuses("new", seq, due_ns, sum(lane.connected_ns > 0 for lane in self._new)):
            return
        async with Lane(self._flows, "new", kept=False) as lane:
            self._new.add(lane)
            try:
                await self._record(Visit("new", seq, due_ns), lane, None)
            finally:
                self._new.remove(lane)

    async def on_kept(self, seq: int, due_ns: int) -> None:
        """A visit on a kept connection, when its turn has come."""
        if self._refuses("kept", seq, due_ns, self._kept):
            return
        lane, turn = self._lanes[seq % len(self._lanes)]
        self._kept += 1
        try:
            await self._record(Visit("kept", seq, due_ns), lane, turn)
        finally:
            self._kept -= 1

    def _refuses(self, kind: str, seq: int, due_ns: int, under_way: int) -> bool:
        """Whether a visit is not made, since too many are under way, or the server wants to be left alone; it is
        recorded then."""
        if time.monotonic_ns() < self._silent_until_ns:
            why = f"not asked: the server wants to be left alone (status {TOO_MANY})"
        elif under_way >= self._most[kind]:
            why = f"{NOT_SERVED}{under_way} visits of its kind are under way"
        else:
            return False
        refused = Visit(kind, seq, due_ns, error=why)
        self._visits.add(*vars(refused).values())
        return True

    async def _record(self, visit: Visit, lane: Lane, turn: asyncio.Lock | None) -> None:
        try:
            async with asyncio.timeout_at(visit.due_ns / NS + TIMEOUT_S):
                if turn is None:
                    await self._visit(visit, lane)
                else:
                    async with turn:
                        await self._visit(visit, lane)
        except TimeoutError:
            visit.error = f"no answer within {TIMEOUT_S:g} s"
        except asyncio.CancelledError:
            visit.error = "no answer before the end"
            raise
        except (aiohttp.ClientError, OSError, VisitError) as error:
            visit.error = str(error) or type(error).__name__
        finally:
            self._visits.add(*vars(visit).values())

    async def _visit(self, visit: Visit, lane: Lane) -> None:
        visit.sent_ns = time.monotonic_ns()
        try:
            async with lane.get(self._url) as response:
                visit.first_byte_ns = time.monotonic_ns()
                visit.status = response.status
                page = await response.read()
                visit.done_ns, visit.bytes = time.monotonic_ns(), len(page)
        finally:
            if lane.connected_ns > visit.sent_ns:
                visit.connected_ns = lane.connected_ns
            visit.connection = lane.flow
        if visit.status == TOO_MANY:
            asked_ns = round(NS * pause_s(response.headers.get("Retry-After"), time.time()))
            self._silent_until_ns = max(self._silent_until_ns, visit.done_ns + asked_ns)
        if visit.status != 200:
            raise VisitError(f"status {visit.status}")
        if self._page_bytes is None:
            self._page_bytes = visit.bytes
        if visit.bytes != self._page_bytes:
            raise VisitError(f"{visit.bytes} bytes instead of the page's {self._page_bytes}")


async def main(program: Program) -> None:
    config = program.config
    rates = {"new": config["new_rate"], "kept": config["kept_rate"]}
    phase = random.Random(config["seed"])
    async with AsyncExitStack() as stack:
        flows = Flows(stack.enter_context(program.spool("tcp_info")))
        visits = stack.enter_context(program.spool("visit"))
        visitors = await stack.enter_async_context(
            Visitors.open(config["url"], visits, flows, config["kept_connections"], rates)
        )
        gc.freeze()
        program.ready()
        start = time.monotonic_ns()
        async with asyncio.TaskGroup() as group:
            group.create_task(flows.watch(program))
            for rate, visit in ((config["new_rate"], visitors.on_new), (config["kept_rate"], visitors.on_kept)):
                first = start + round(phase.random() * NS / max(rate, 1))
                if rate:
                    group.create_task(program.at_each(program.schedule(first, rate), visit))


if __name__ == "__main__":
    Program.from_argv().run(main)
