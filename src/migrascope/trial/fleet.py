"""The order of a trial of a fleet: arrange, before, migrate, after, drain, collect."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from migrascope.lab.fleet import Fleet, Look, State
from migrascope.lab.runtime import Runtime
from migrascope.model.clock import mono_ns, mono_s
from migrascope.model.plan import EchoKind, FleetPlan, Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors, TrialSpec
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.wait import wait_until
from migrascope.store.events import EventLog
from migrascope.store.recording import TrialFacts
from migrascope.store.spool import Spool
from migrascope.trial.after_failure import to_its_end
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.programs import agent_url
from migrascope.trial.runtime import MACHINE
from migrascope.trial.setup import Part, Setup, arranged, begun, machine, programs

MOST_WATCHED = 16
"""So many instances have a probe of their own, for all share the plan's rate; what the API says is recorded of all."""
_TURN_S = 1.0
"""So long migrations are asked for before the fleet is looked at again."""


class FleetLab(Protocol):
    """A lab that makes fleets."""

    hosts: tuple[str, str]
    facts: dict[str, Any]

    @property
    def client(self) -> Namespace | None: ...

    @property
    def folder(self) -> Path: ...

    async def create_fleet(self, factors: Factors, host: str, folder: Path, requests_per_s: float) -> Fleet:
        """Instances that are being booted on `host`; the caller destroys them."""


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


@dataclass
class FleetTrial(Setup):
    """A trial of a fleet. What is not given is set by the parts; watched: its addresses that have a probe."""

    lab: FleetLab
    factors: Factors
    source: str
    destination: str
    settings: dict[str, Any]
    fleet: Fleet = field(init=False)
    watched: dict[str, str] = field(init=False)


@asynccontextmanager
async def instances(trial: FleetTrial) -> AsyncIterator[None]:
    """The fleet; of its instances, those that are watched have booted."""
    began, lab, rate = mono_s(), trial.lab, trial.plan.fleet.requests
    trial.fleet = await lab.create_fleet(trial.factors, trial.source, trial.folder, rate)
    try:
        trial.watched = spread(trial.fleet.addresses)
        await _boot(trial)
        trial.facts["boot_s"] = round(mono_s() - began, 3)
        trial.settings.update(trial.fleet.settings, fleet=trial.plan.fleet.model_dump(mode="json"))
        yield
    finally:
        await trial.fleet.destroy()


async def _boot(trial: FleetTrial) -> None:
    waiting = {
        name: AgentClient(agent_url(address), trial.client, trial.runtime) for name, address in trial.watched.items()
    }

    async def all_booted() -> bool:
        for name, guest in list(waiting.items()):
            if await guest.ready():
                del waiting[name]
        return not waiting

    limit = trial.plan.windows.boot_limit * max(1, len(trial.watched))
    await wait_until(all_booted, limit, "the guests boot and their websites answer", 0.2)


@asynccontextmanager
async def probes(trial: FleetTrial) -> AsyncIterator[None]:
    """A prober for each that is watched, and what counts the links' bytes."""
    probers: list[ProcessSpec] = []
    if trial.factors.probes != "none":
        kind = await trial.echo_kind(next(iter(trial.watched.values())))
        probers = echoes(trial.watched, trial.plan.probes.echo_rate, kind, trial.client)
    await trial.processes.start([*trial.fleet.links(), *probers])
    yield


ORDER: tuple[Part[FleetTrial], ...] = (instances, programs, probes, machine)


class FleetEngine:
    """Runs trials of a plan with a fleet, one after another."""

    def __init__(self, lab: FleetLab, plan: Plan, say: Callable[[str], None], runtime: Runtime = MACHINE) -> None:
        """runtime: where its programs run."""
        self._lab, self._plan, self._say, self._runtime = lab, plan, say, runtime

    async def run(self, spec: TrialSpec, opened: Path) -> TrialFacts:
        """Runs one trial into its open folder. A trial that fails gives its facts with the reason, and no exception.
        Whatever happens, the instances are gone afterwards, as far as the lab removes them."""
        lab = self._lab
        facts = begun(self._plan, spec, lab.hosts, "fleet", "fleet", **lab.facts)
        trial = FleetTrial(
            self._plan, self._runtime, lab.client, opened, lab.folder / f"trial-{spec.number}", "fleet", "fleet",
            spec.factors.probes == "all", self._say, facts.facts, lab, spec.factors, facts.source, facts.destination,
            facts.settings,
        )  # fmt: skip
        return await to_its_end(trial, facts, self._run)

    async def _run(self, trial: FleetTrial, facts: TrialFacts) -> TrialFacts:
        trial.phase("arrange")
        async with arranged(trial, ORDER):
            with Spool(trial.opened, "fleet", source="api", host="cloud", instance="fleet") as spool:
                watch = _Watch(trial.fleet, spool)
                trial.phase("before")
                before = dict((await watch.look()).states)
                await asyncio.sleep(self._plan.windows.before)
                trial.phase("migrate")
                lost = await Drive(watch, self._plan, trial.destination, trial.opened / "events.ndjson").all(before)
            trial.phase("after")
            await asyncio.sleep(self._plan.windows.before)
            trial.processes.check()
            async with trial.draining():
                pass
            trial.phase("collect")
            await trial.processes.stop()
        many = f"{len(lost)} of {trial.factors.instances} did not migrate; " if lost else ""
        first = next((f"{name}: {why}" for name, why in lost.items()), "")
        return replace(facts, status="failed" if lost else "ok", reason=(many + first) or None)


def spread(addresses: Mapping[str, str]) -> dict[str, str]:
    """At most MOST_WATCHED of them, as far apart as they are many: those asked first wait least."""
    names, count = list(addresses), min(len(addresses), MOST_WATCHED)
    return {name: addresses[name] for name in (names[at * len(names) // count] for at in range(count))}


def echoes(watched: Mapping[str, str], rate: float, kind: EchoKind, client: Namespace | None) -> list[ProcessSpec]:
    """A prober for each, `rate` packets a second in all."""
    config = {"rate": rate / len(watched), "kind": kind}
    return [
        ProcessSpec(
            f"echo-{name}", "migrascope.probe.echo", "client", client, {"target": address, "instance": name, **config}
        )
        for name, address in watched.items()
    ]


class Drive:
    """Asks for the migrations of a fleet in the plan's order and watches until each is over."""

    def __init__(self, watch: _Watch, plan: Plan, destination: str, events: Path) -> None:
        self._watch, self._fleet_plan, self._limit = watch, plan.fleet, plan.windows.limit
        self._destination, self._events = destination, events

    async def all(self, before: Mapping[str, State]) -> dict[str, str]:
        """Gives those that did not migrate, each with its reason. A fleet of which none ends within the plan's limit is
        stuck: what is under way is cancelled."""
        waiting, flying = list(before), dict[str, int]()
        failed: dict[str, str] = {}
        width, progress = width_of(self._fleet_plan, len(waiting)), mono_s()
        while waiting or flying:
            turn = mono_s()
            while waiting and len(flying) < width and mono_s() < turn + _TURN_S:
                name = waiting.pop(0)
                try:
                    self._log(name, "migrate_request")
                    flying[name] = mono_ns()
                    await self._watch.fleet.migrate(name, self._destination)
                except Problem as error:
                    del flying[name]
                    failed[name] = f"refused: {error}"
                    self._log(name, "migrate_failed", reason=failed[name])
            states = (await self._watch.look()).states
            for name in [name for name in flying if states[name].settled(before[name])]:
                del flying[name]
                progress = mono_s()
                if (why := wrong(states[name], before[name], self._destination)) is not None:
                    failed[name] = why
                self._log(name, "migrate_failed" if why else "migrate_done", **({"reason": why} if why else {}))
            if flying and mono_s() > progress + self._limit:
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
