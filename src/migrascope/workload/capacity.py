"""Finds how many visits a guest bears beside its probes and viewers. Tables visit, tried and borne.

Config: url (the page), agent (url of the guest's agent), fixed ({kind: visits a second that do not change}), part
({kind: its part of the rate that is tried}), most (the highest rate that is tried), viewers (how many there are),
kept_connections, processes (pids of the guest's hypervisor), limit_s (after which no further rate is tried). It tries
one rate after another and then waits to be ended.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from migrascope.model.load import LEAST_RATE, Tried
from migrascope.model.steady import IN_TIME_NS, NS, Due, in_time_share
from migrascope.node.cpu import process_cpu_ns
from migrascope.node.program import Program
from migrascope.store.spool import Spool
from migrascope.workload.flows import Flows
from migrascope.workload.search import Borne, conclude, search
from migrascope.workload.visitors import Visitors

Job = Callable[[int, int], Coroutine[Any, Any, None]]
STEP_S = 1.5
"""How long a rate is tried."""
WARM_S = 2.0
"""How long the guest serves before the first rate is tried: an emulator translates its code in that time."""
DRAIN_S = 3.0
"""Maximum time to wait, after a rate that was too high, until no visit is under way."""
_ANSWER_S = 3.0


@dataclass(frozen=True)
class Count:
    """What a guest's processors have done so far. idle_s: of all of them together. hypervisor_s: CPU time of its
    hypervisor, None where that runs elsewhere. at_ns: when it was asked (mono)."""

    at_ns: int
    uptime_s: float
    idle_s: float
    cpus: int
    hypervisor_s: float | None


def busy(first: Count, last: Count) -> float | None:
    """The share of one core that a guest used between two counts: the larger of what it says and what its hypervisor
    used, which emulates its devices, too. None where no time passed in it."""
    uptime = last.uptime_s - first.uptime_s
    if uptime <= 0:
        return None
    own = max(0.0, uptime * last.cpus - (last.idle_s - first.idle_s)) / uptime
    if first.hypervisor_s is None or last.hypervisor_s is None:
        return own
    return max(own, (last.hypervisor_s - first.hypervisor_s) * NS / (last.at_ns - first.at_ns))


class Processor:
    """Counts what the guest's processors do, by its agent's word."""

    def __init__(self, session: aiohttp.ClientSession, agent: str, pids: Sequence[int]) -> None:
        self._session, self._agent, self._pids = session, agent, pids

    async def count(self) -> Count | None:
        """None where the agent does not answer in time."""
        try:
            async with asyncio.timeout(_ANSWER_S), self._session.get(f"{self._agent}/load") as answer:
                said: dict[str, Any] = await answer.json(content_type=None)
            used = sum(map(process_cpu_ns, self._pids)) / NS if self._pids else None
            return Count(time.monotonic_ns(), said["uptime_s"], said["idle_s"], said["cpus"], used)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError):
            return None


def trying(config: Mapping[str, Any], rate: float) -> dict[str, float]:
    """Visits a second of each kind at a rate that is tried."""
    return {kind: config["fixed"].get(kind, 0.0) + config["part"].get(kind, 0.0) * rate for kind in ("new", "kept")}


class Outcomes:
    """What became of each visit, by kind and number; its rows go on to a spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.done_ns: dict[tuple[str, int], int] = {}

    def add(self, *row: Any) -> None:
        """A row of the table visit."""
        self._spool.add(*row)
        record = dict(zip(self._spool.table.columns, row, strict=True))
        self.done_ns[record["kind"], record["seq"]] = 0 if record["error"] else record["done_ns"]


class Trier:
    """Visits at one rate after another. jobs: what starts a visit of a kind (seq, due_ns)."""

    def __init__(
        self, jobs: Mapping[str, Job], config: Mapping[str, Any], processor: Processor, outcomes: Outcomes
    ) -> None:
        self._jobs, self._config, self._processor, self._outcomes = jobs, config, processor, outcomes
        self._seq = dict.fromkeys(jobs, 0)
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, rate: float, seconds: float) -> dict[tuple[str, int], int]:
        """Visits for so long; the due time of each visit by kind and number."""
        start, due = time.monotonic_ns(), {}
        plan = sorted(
            (start + round((at + 0.5 * (kind == "kept")) * NS / each), kind)
            for kind, each in trying(self._config, rate).items()
            if each
            for at in range(max(1, int(seconds * each)))
        )
        for due_ns, kind in plan:
            await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / NS))
            seq = self._seq[kind]
            self._seq[kind] += 1
            due[kind, seq] = due_ns
            task = asyncio.get_running_loop().create_task(self._jobs[kind](seq, due_ns))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await asyncio.sleep(max(0.0, (start + round(seconds * NS) + IN_TIME_NS - time.monotonic_ns()) / NS))
        return due

    async def attempt(self, rate: float) -> Tried:
        """Tries a rate, and lets the guest recover where that was too much."""
        first = await self._processor.count()
        due = await self.serve(rate, STEP_S)
        last = await self._processor.count()
        visits = [Due(at, self._outcomes.done_ns.get(key, 0)) for key, at in due.items()]
        share = in_time_share(visits, len(visits))
        if self._running and share < 1:
            await asyncio.wait(set(self._running), timeout=DRAIN_S)
        return Tried(rate, share, None if first is None or last is None else busy(first, last), self._config["viewers"])

    async def end(self) -> None:
        """Gives up what is under way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


async def find(trier: Trier, most: float, limit_s: float, tell: Callable[[Tried], None]) -> Borne:
    """Tries rates until it is known what the guest bears, or limit_s have passed."""
    deadline = time.monotonic() + limit_s
    await trier.serve(min(LEAST_RATE, most), WARM_S)
    searching, tried = search(most), list[Tried]()
    with contextlib.suppress(StopIteration):
        rate = next(searching)
        while time.monotonic() < deadline:
            tried.append(await trier.attempt(rate))
            tell(tried[-1])
            rate = searching.send(tried[-1])
    return conclude(tried)


async def main(program: Program) -> None:
    config = program.config
    async with AsyncExitStack() as stack:
        visits, tried, borne, info = (
            stack.enter_context(program.spool(table)) for table in ("visit", "tried", "borne", "tcp_info")
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        outcomes, flows = Outcomes(visits), Flows(info)
        visitors = await stack.enter_async_context(
            Visitors.open(config["url"], outcomes, flows, config["kept_connections"], trying(config, config["most"]))
        )
        processor = Processor(session, config["agent"], config["processes"])
        trier = Trier({"new": visitors.on_new, "kept": visitors.on_kept}, config, processor, outcomes)
        stack.push_async_callback(trier.end)
        program.ready()

        def tell(attempt: Tried) -> None:
            tried.add(
                time.monotonic_ns(),
                attempt.viewers,
                attempt.rate,
                attempt.in_time,
                -1.0 if attempt.busy is None else attempt.busy,
            )
            tried.flush()

        found = await find(trier, config["most"], config["limit_s"], tell)
        known = [-1.0 if value is None else value for value in (found.busy, found.serves)]
        borne.add(time.monotonic_ns(), config["viewers"], found.rate, *known)
        borne.flush()
        await program.ended()


if __name__ == "__main__":
    Program.from_argv().run(main)
