"""The order of a trial of a fleet: arrange, before, migrate, after, drain, collect."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from migrascope.lab.fleet import Fleet, Look, State
from migrascope.model.clock import mono_ns
from migrascope.model.plan import EchoKind, FleetPlan, Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import HOSTS, Factors, TrialSpec
from migrascope.node.member import Member
from migrascope.node.namespace import Namespace
from migrascope.node.until import until
from migrascope.store.events import EventLog
from migrascope.store.recording import TrialFacts
from migrascope.store.spool import Spool
from migrascope.trial.crew import Crew
from migrascope.trial.engine import T_MAX_S
from migrascope.trial.guestcall import GuestCall
from migrascope.trial.members import machine_watch
from migrascope.trial.reached import echo_kind

MOST_WATCHED = 16
"""So many instances have a probe of their own, for all share the plan's rate; what the API says is recorded of all."""
_TURN_S = 1.0
"""So long migrations are asked for before the fleet is looked at again."""
Booted = Callable[[str, Namespace | None], Awaitable[bool]]


class FleetLab(Protocol):
    """A lab that makes fleets."""

    hosts: tuple[str, str]
    facts: dict[str, object]

    @property
    def client(self) -> Namespace | None: ...

    @property
    def folder(self) -> Path: ...

    async def create_fleet(self, factors: Factors, host: str, folder: Path, requests_per_s: float) -> Fleet:
        """Instances that are being booted on `host`; the caller destroys them."""


async def answers(address: str, client: Namespace | None) -> bool:
    """Whether the website at an address is ready."""
    return await GuestCall(f"http://{address}:8080", client).ready()


@dataclass
class _Watch:
    """Looks at a fleet and writes down each change."""

    fleet: Fleet
    spool: Spool
    last: dict[str, State] = field(default_factory=dict)
    last_ns: int = 0

    async def look(self) -> Look:
        seen = await self.fleet.look()
        for name, state in seen.states.items():
            if self.last.get(name) != state:
                row = (state.status, state.task, state.host, state.record, self.last_ns)
                self.spool.add(seen.asked_ns, seen.answered_ns, name, *row)
        self.spool.flush()
        self.last, self.last_ns = dict(seen.states), seen.asked_ns
        return seen


class FleetEngine:
    """Runs trials of a plan with a fleet, one after another."""

    def __init__(self, lab: FleetLab, plan: Plan, say: Callable[[str], None], booted: Booted = answers) -> None:
        self._lab, self._plan, self._say, self._booted = lab, plan, say, booted

    async def run(self, spec: TrialSpec, opened: Path) -> TrialFacts:
        """Runs one trial into its open folder. A trial that fails gives its facts with the reason, and no exception.
        Whatever happens, the instances are gone afterwards, as far as the lab removes them."""
        names = dict(zip(HOSTS, self._lab.hosts, strict=True))
        spec = replace(spec, source=names[spec.source], destination=names[spec.destination])
        facts = TrialFacts(
            spec.number, spec.block, spec.factors, spec.source, spec.destination, "fleet", "fleet", "failed", None,
            self._plan.base_units(), facts=dict(self._lab.facts),
        )  # fmt: skip
        events = EventLog(opened / "events.ndjson", "engine")
        events.add("trial_start", number=spec.number)
        try:
            facts = await self._run(spec, opened, events, facts)
        except (Problem, OSError) as error:
            facts = replace(facts, status="failed", reason=str(error) or type(error).__name__)
        events.add("trial_end", status=facts.status, reason=facts.reason)
        return facts

    async def _run(self, spec: TrialSpec, opened: Path, events: EventLog, facts: TrialFacts) -> TrialFacts:
        lab, plan = self._lab, self._plan
        folder = lab.folder / f"trial-{spec.number}"
        async with AsyncExitStack() as stack:
            self._phase(events, "arrange")
            began = time.monotonic()
            fleet = await lab.create_fleet(spec.factors, spec.source, folder, plan.fleet.requests)
            stack.push_async_callback(fleet.destroy)
            watched = spread(fleet.addresses)
            await self._boot(watched)
            facts.facts["boot_s"] = round(time.monotonic() - began, 3)
            facts.settings.update(fleet.settings, fleet=plan.fleet.model_dump(mode="json"))
            crew = Crew(opened, folder, "fleet", "fleet")
            stack.push_async_callback(crew.stop)
            await crew.start([*fleet.links(), *await self._probes(watched, spec)])
            if spec.factors.probes == "all":
                await crew.start([machine_watch(crew.pids())])
            spool = stack.enter_context(Spool(opened, "fleet", source="api", host="cloud", instance="fleet"))
            watch = _Watch(fleet, spool)
            self._phase(events, "before")
            before = dict((await watch.look()).states)
            await asyncio.sleep(plan.windows.before)
            self._phase(events, "migrate")
            failed = await Drive(watch, plan, spec, opened / "events.ndjson").all(before)
            self._phase(events, "after")
            await asyncio.sleep(plan.windows.before)
            crew.check()
            self._phase(events, "drain")
            crew.drain()
            events.add("probes_stopping")
            if crew.processes:
                await asyncio.sleep(T_MAX_S)
            self._phase(events, "collect")
            await crew.stop()
            lost = f"{len(failed)} of {spec.factors.instances} did not migrate; " if failed else ""
            first = next((f"{name}: {why}" for name, why in failed.items()), "")
            return replace(facts, status="failed" if failed else "ok", reason=(lost + first) or None)

    def _phase(self, events: EventLog, phase: str) -> None:
        events.add("phase", phase=phase)
        self._say(phase)

    async def _boot(self, watched: Mapping[str, str]) -> None:
        waiting = dict(watched)

        async def all_booted() -> bool:
            for name, address in list(waiting.items()):
                if await self._booted(address, self._lab.client):
                    del waiting[name]
            return not waiting

        limit = self._plan.windows.boot_limit * max(1, len(watched))
        await until(all_booted, limit, "the guests boot and their websites answer", 0.2)

    async def _probes(self, watched: Mapping[str, str], spec: TrialSpec) -> list[Member]:
        if spec.factors.probes == "none":
            return []
        kind = await echo_kind(self._plan.probes.echo_kind, next(iter(watched.values())), self._lab.client)
        return echoes(watched, self._plan.probes.echo_rate, kind, self._lab.client)


def spread(addresses: Mapping[str, str]) -> dict[str, str]:
    """At most MOST_WATCHED of them, as far apart as they are many: those asked first wait least."""
    names, count = list(addresses), min(len(addresses), MOST_WATCHED)
    return {name: addresses[name] for name in (names[at * len(names) // count] for at in range(count))}


def echoes(watched: Mapping[str, str], rate: float, kind: EchoKind, client: Namespace | None) -> list[Member]:
    """A prober for each, `rate` packets a second in all."""
    config = {"rate": rate / len(watched), "kind": kind}
    return [
        Member(
            f"echo-{name}", "migrascope.probe.echo", "client", client, {"target": address, "instance": name, **config}
        )
        for name, address in watched.items()
    ]


class Drive:
    """Asks for the migrations of a fleet in the plan's order and watches until each is over."""

    def __init__(self, watch: _Watch, plan: Plan, spec: TrialSpec, events: Path) -> None:
        self._watch, self._fleet_plan, self._limit, self._spec = watch, plan.fleet, plan.windows.limit, spec
        self._events = events

    async def all(self, before: Mapping[str, State]) -> dict[str, str]:
        """Gives those that did not migrate, each with its reason. A fleet of which none ends within the plan's limit is
        stuck: what is under way is cancelled."""
        waiting, flying = list(before), dict[str, int]()
        failed: dict[str, str] = {}
        width, progress = width_of(self._fleet_plan, len(waiting)), time.monotonic()
        while waiting or flying:
            turn = time.monotonic()
            while waiting and len(flying) < width and time.monotonic() < turn + _TURN_S:
                name = waiting.pop(0)
                try:
                    self._log(name, "migrate_request")
                    flying[name] = mono_ns()
                    await self._watch.fleet.migrate(name, self._spec.destination)
                except Problem as error:
                    del flying[name]
                    failed[name] = f"refused: {error}"
                    self._log(name, "migrate_failed", reason=failed[name])
            states = (await self._watch.look()).states
            for name in [name for name in flying if states[name].settled(before[name])]:
                del flying[name]
                progress = time.monotonic()
                if (why := wrong(states[name], before[name], self._spec.destination)) is not None:
                    failed[name] = why
                self._log(name, "migrate_failed" if why else "migrate_done", **({"reason": why} if why else {}))
            if flying and time.monotonic() > progress + self._limit:
                failed |= await self._give_up(list(flying))
                flying.clear()
                failed |= dict.fromkeys(waiting, "not asked for: those before it were stuck")
                waiting.clear()
        return failed

    async def _give_up(self, stuck: list[str]) -> dict[str, str]:
        reasons = {}
        for name in stuck:
            reasons[name] = f"stuck: none of the fleet ended in {self._limit:g} s; cancelled"
            try:
                await self._watch.fleet.cancel(name)
            except Problem as error:
                reasons[name] = f"stuck, and not cancelled: {error}"
            self._log(name, "migrate_failed", reason=reasons[name])
        return reasons

    def _log(self, name: str, event: Literal["migrate_request", "migrate_done", "migrate_failed"], **data: str) -> None:
        EventLog(self._events, "engine", name, name).add(event, **data)


def width_of(fleet: FleetPlan, count: int) -> int:
    """How many migrations may be under way by the plan; what Nova does at once is Nova's."""
    return {"one-after-another": 1, "at-once": count, "drain": fleet.parallel}[fleet.how]


def wrong(state: State, before: State, destination: str) -> str | None:
    """Why an instance whose migration is over is not where it should be; None where it is."""
    if state.status == "ERROR":
        return f"server in ERROR: {state.fault or 'no fault is told'}"
    if state.record not in ("", "completed"):
        return f"Compute says {state.record}"
    if destination and state.host != destination:
        return f"it runs on {state.host}"
    return None if state.host != before.host else "it is on the same host as before"
