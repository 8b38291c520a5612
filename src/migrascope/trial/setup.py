"""What every kind of trial has: a folder, a clock's events, programs; and its parts, set up one after another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from migrascope.lab.runtime import Runtime
from migrascope.model.clock import mono_ns, mono_s
from migrascope.model.plan import EchoKind, Plan
from migrascope.model.schedule import HOSTS, TrialSpec
from migrascope.node.namespace import Namespace
from migrascope.store.events import EventLog
from migrascope.store.recording import TrialFacts
from migrascope.trial.processes import Processes
from migrascope.trial.programs import machine_watch

T_MAX_S = 3.0
"""Maximum time that an answer is waited for once nothing new is sent."""


def begun(plan: Plan, spec: TrialSpec, hosts: Sequence[str], instance: str, migration: str, **facts: Any) -> TrialFacts:
    """What is known of a trial before it begins: it counts as failed until it is not. hosts: the lab's names of HOSTS;
    facts: of the lab."""
    names = dict(zip(HOSTS, hosts, strict=True))
    return TrialFacts(
        spec.number, spec.block, spec.factors, names[spec.source], names[spec.destination], instance, migration,
        "failed", None, plan.base_units(), facts=facts,
    )  # fmt: skip


@dataclass
class Setup:
    """A trial while it runs. client: where visitors are; None is this machine. opened: where it is recorded; folder:
    for files that go with it. observed: by every probe of the plan. facts: what its recording says of it.
    processes: its programs."""

    plan: Plan
    runtime: Runtime
    client: Namespace | None
    opened: Path
    folder: Path
    instance_id: str
    migration_id: str
    observed: bool
    say: Callable[[str], None]
    facts: dict[str, Any]
    events: EventLog = field(init=False)
    processes: Processes = field(init=False)

    def __post_init__(self) -> None:
        self.events = EventLog(self.opened / "events.ndjson", "engine", self.instance_id, self.migration_id)
        self.processes = Processes(self.opened, self.folder, self.instance_id, self.migration_id, self.runtime)

    def phase(self, name: str) -> None:
        """A phase of the trial begins."""
        self.events.add("phase", phase=name)
        self.say(name)

    def pids(self) -> dict[str, int]:
        """The processes on this machine whose CPU time is recorded, by name."""
        return self.processes.pids()

    def check(self) -> None:
        """Raises a Problem where something of the trial has died."""
        self.processes.check()

    async def watch(self, seconds: float) -> None:
        """Lets the trial go on for a while; fails as soon as something of it dies."""
        end = mono_s() + seconds
        while (left := end - mono_s()) > 0:
            await asyncio.sleep(min(0.25, left))
            self.check()

    async def echo_kind(self, address: str) -> EchoKind:
        """icmp or tcp: as the plan says, and for "auto" ICMP if echo requests are answered."""
        if (wanted := self.plan.probes.echo_kind) != "auto":
            return wanted
        return "icmp" if await self.runtime.pinged(self.client, address) else "tcp"

    @asynccontextmanager
    async def draining(self) -> AsyncIterator[None]:
        """Nothing new is sent from now on. Where it is observed, what is under way has T_MAX_S to come in."""
        self.phase("drain")
        self.processes.drain()
        self.events.add("probes_stopping")
        started = mono_ns()
        yield
        if self.observed:
            await asyncio.sleep(max(0.0, T_MAX_S - (mono_ns() - started) / 1e9))


S = TypeVar("S", bound=Setup)
Part = Callable[[S], AbstractAsyncContextManager[None]]
"""A part of a trial: it is there for the length of a with block, and finds in the trial what those before it left."""


@asynccontextmanager
async def arranged(trial: S, parts: Sequence[Part[S]]) -> AsyncIterator[None]:
    """Sets the parts up in this order, and takes them down in the opposite one, whatever happens."""
    async with AsyncExitStack() as stack:
        for part in parts:
            await stack.enter_async_context(part(trial))
        yield


@asynccontextmanager
async def programs(trial: Setup) -> AsyncIterator[None]:
    """The processes: whatever parts after this one start ends with it."""
    try:
        yield
    finally:
        await trial.processes.stop()


@asynccontextmanager
async def machine(trial: Setup) -> AsyncIterator[None]:
    """What watches this machine, and every process that is there by now."""
    if trial.observed:
        await trial.processes.start([machine_watch(trial.pids())])
    yield
