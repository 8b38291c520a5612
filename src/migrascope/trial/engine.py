"""The order of a trial: arrange, steady, before, migrate, settle, after, drain, collect. Nothing else knows it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from migrascope.lab.contract import Instance, Lab, NotConverged
from migrascope.lab.disturbable import Healable, Rescuable
from migrascope.model.clock import clock_pair, mono_ns
from migrascope.model.disturbance import KINDS
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import HOSTS, TrialSpec
from migrascope.node.until import Late, until
from migrascope.store.events import EventLog
from migrascope.store.recording import TrialFacts
from migrascope.trial import reflector, swallow, writer
from migrascope.trial.aftermath import failed, healed, keep_logs, rescue
from migrascope.trial.boot import await_boot
from migrascope.trial.crew import Crew
from migrascope.trial.disturbing import Disturbing
from migrascope.trial.guestcall import GuestCall
from migrascope.trial.members import machine_watch, members
from migrascope.trial.proof import Proof, failures, prove
from migrascope.trial.reached import echo_kind
from migrascope.trial.steady import SteadyState
from migrascope.trial.watch import EchoWatch
from migrascope.trial.witnesses import Ledger, keep_volume, pages
from migrascope.workload.scenario import ScenarioWorkload, scenario

T_MAX_S = 3.0
INSTANCE, MIGRATION = "vm-1", "m-1"


class TrialFailed(Problem):
    """A trial that cannot go on; the message is its reason."""


@dataclass
class _Trial:
    """What is known of a trial while it runs."""

    spec: TrialSpec
    opened: Path
    folder: Path
    events: EventLog
    workload: ScenarioWorkload
    instance: Instance
    guest: GuestCall
    crew: Crew
    boot_id: str
    disturbing: Disturbing | None
    facts: dict[str, Any]

    @property
    def rescued(self) -> bool:
        """Whether an operator helps after the migration, who waits for nothing before."""
        disturbing = self.disturbing
        return disturbing is not None and disturbing.passes and isinstance(self.instance, Rescuable)


class TrialEngine:
    """Runs trials of one plan on one lab, one after another."""

    def __init__(
        self, lab: Lab, plan: Plan, say: Callable[[str], None], site: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """site: SHA-256 of the website's files by path, empty where they are not known."""
        self._lab, self._plan, self._say, self._site = lab, plan, say, site

    async def run(self, spec: TrialSpec, opened: Path) -> TrialFacts:
        """Runs one trial into its open folder. A trial that fails gives its facts with the reason, and no exception.

        Whatever happens, and at a cancellation too, the instance and every process of the trial are gone afterwards.
        """
        lab = self._lab
        names = dict(zip(HOSTS, lab.hosts, strict=True))
        spec = replace(spec, source=names[spec.source], destination=names[spec.destination])
        facts = TrialFacts(
            spec.number, spec.block, spec.factors, spec.source, spec.destination, INSTANCE, MIGRATION, "failed", None,
            self._plan.base_units(),
            facts=dict(lab.facts),
        )  # fmt: skip
        folder = lab.folder / f"trial-{spec.number}"
        events = EventLog(opened / "events.ndjson", "engine", INSTANCE, MIGRATION)
        events.add("trial_start", number=spec.number)
        try:
            facts = await self._run(spec, opened, folder, events, facts)
        except (Problem, OSError) as error:
            facts = failed(facts, error)
        finally:
            keep_logs(folder, opened)
        events.add("trial_end", status=facts.status, reason=facts.reason)
        return facts

    async def _run(
        self, spec: TrialSpec, opened: Path, folder: Path, events: EventLog, facts: TrialFacts
    ) -> TrialFacts:
        lab, plan = self._lab, self._plan
        async with AsyncExitStack() as stack:
            self._phase(events, "arrange")
            began = time.monotonic()
            instance = await lab.create(INSTANCE, spec.factors, spec.source, folder)
            stack.push_async_callback(instance.destroy)
            guest = GuestCall(f"http://{instance.address}:8080", lab.client)
            await await_boot(instance, guest, plan.windows.boot_limit)
            facts.facts["boot_s"] = round(time.monotonic() - began, 3)
            facts.settings.update(await instance.prepare(spec.destination, spec.factors))
            workload = scenario(spec.factors.scenario, plan.visitors.viewers, instance.address, lab.origin)
            if spec.factors.scenario == "offline":
                facts.facts["cache"] = await guest.ask(f"/cache?state={spec.factors.cache}", post=True, timeout_s=60)
            if resident := spec.factors.resident_bytes:
                await guest.ask(f"/resident?bytes={resident}", post=True, timeout_s=120)
            if spec.factors.write_Bps:
                await writer.begin(guest, spec.factors)
            boot_id = (await guest.ask("/alive?id=start"))["boot_id"]
            crew = Crew(opened, folder, INSTANCE, MIGRATION)
            stack.push_async_callback(crew.stop)
            observed = spec.factors.probes == "all"
            echo = await echo_kind(plan.probes.echo_kind, instance.address, lab.client)
            facts.facts["echo_kind"] = echo
            if observed and plan.probes.stamp_rate:
                await reflector.begin(guest)
            await crew.start(members(lab.client, instance, plan, workload, observed=observed, echo=echo))
            disturbance = plan.disturbances().get(spec.factors.disturbance)
            stressed = disturbance is not None and KINDS[disturbance.kind].in_guest
            if observed and (spec.factors.write_Bps or stressed):
                await crew.start([writer.watch(lab.client, instance.address)])
            if plan.verdict.ledger:
                ledger = Ledger(instance, lab.client)
                await crew.start([ledger.collector()])
                await ledger.begin(guest, plan.verdict.ledger)
            if observed:
                await crew.start([machine_watch(instance.pids() | crew.pids())])
            disturbing = None
            lasts = disturbance is not None and disturbance.when in ("trial", "window")
            facts.facts["declared_load"] = bool(spec.factors.write_Bps) or lasts
            if disturbance is not None:
                sends = disturbance.kind == "guest-network"
                swallows = await swallow.begin(instance, lab.client, crew) if sends else ""
                disturbing = await Disturbing.armed(disturbance, instance, spec.destination, guest, swallows)
                stack.push_async_callback(disturbing.end, opened, INSTANCE, MIGRATION)
            trial = _Trial(
                spec, opened, folder, events, workload, instance, guest, crew, boot_id, disturbing, facts.facts
            )
            error = await self._observe(trial)
            if disturbing is not None:
                facts.facts["disturbance"] = disturbing.facts()
            place = spec.source if error else spec.destination
            facts = replace(facts, proof=await self._drain(trial, place))
            if error is None:
                crew.check()
            self._phase(events, "collect")
            await crew.stop()
            await keep_volume(instance, opened, self._site)
            if disturbing is not None and isinstance(lab, Healable):
                facts.facts["healing"] = await healed(lab)
            if error is not None:
                return failed(facts, error)
            lost = failures(facts.proof, "fail") or failures(facts.proof, "unknown")
            return replace(facts, status="failed" if lost else "ok", reason="; ".join(lost) or None)

    async def _observe(self, trial: _Trial) -> Exception | None:
        """From the steady state to the end of the window after the migration, and why it came to no good end."""
        disturbing = trial.disturbing
        try:
            if disturbing is not None:
                await disturbing.begin()
            await self._await_steady(trial)
            await self._migrate(trial)
        except (Problem, OSError) as error:
            return error
        finally:
            if disturbing is not None:
                await disturbing.end(trial.opened, INSTANCE, MIGRATION)
        return None

    async def _drain(self, trial: _Trial, place: str) -> Proof:
        """Lets what is under way come in, and proves what guest is there. place: where it should be."""
        self._phase(trial.events, "drain")
        trial.crew.drain()
        trial.events.add("probes_stopping")
        started = mono_ns()
        proof = await prove(trial.instance, trial.guest, trial.boot_id, place)
        if self._site:
            proof["site"] = await pages(trial.instance.address, self._lab.client, self._site)
        if trial.spec.factors.probes == "all":
            await asyncio.sleep(max(0.0, T_MAX_S - (mono_ns() - started) / 1e9))
        return proof

    def _phase(self, events: EventLog, phase: str) -> None:
        events.add("phase", phase=phase)
        self._say(phase)

    async def _await_steady(self, trial: _Trial) -> None:
        """Waits for a steady state, and for the window before the migration: the last that was steady, or, where a
        disturbance belongs into it, one that begins now."""
        self._phase(trial.events, "steady")
        disturbing, windows = trial.disturbing, self._plan.windows
        if trial.spec.factors.probes == "all":
            steady = SteadyState(
                trial.opened, self._plan, trial.guest, len(trial.workload.viewers), self._say,
                loaded=bool(trial.spec.factors.write_Bps) or (disturbing is not None and not disturbing.passes),
            )  # fmt: skip

            def alive() -> None:
                trial.crew.check()
                if problem := trial.instance.problem():
                    raise TrialFailed(problem)

            since = await steady.wait(alive)
            trial.facts["guest_busy"] = steady.busy()
            if disturbing is None or not disturbing.in_window:
                mono, wall = clock_pair()
                trial.events.add_at("phase", since, wall - (mono - since), phase="before")
                return
        self._phase(trial.events, "before")
        if disturbing is not None:
            disturbing.window()
        await self._watch(trial, windows.before)

    async def _watch(self, trial: _Trial, seconds: float) -> None:
        """Lets the trial go on for a while; fails as soon as something of it dies."""
        end = mono_ns() + round(seconds * 1e9)
        while (left := (end - mono_ns()) / 1e9) > 0:
            await asyncio.sleep(min(0.25, left))
            trial.crew.check()
            if problem := trial.instance.problem():
                raise TrialFailed(problem)

    async def _migrate(self, trial: _Trial) -> None:
        """Migrates and watches what comes after. Problem, at the end, when the migration failed."""
        events, spec, limit = trial.events, trial.spec, self._plan.windows.limit
        self._phase(events, "migrate")
        try:
            answer = await trial.instance.migrate(spec.destination, limit, lambda: _request(trial))
        except Problem as error:
            over = events.add("migrate_failed", reason=str(error))
            if trial.rescued:
                await self._rescue(trial, passes=not isinstance(error, NotConverged))
            elif trial.instance.problem() is None:
                await self._settle(trial, over.mono_ns)
            raise
        over = events.add("migrate_done", answer=answer)
        await (self._rescue(trial, passes=True) if trial.rescued else self._settle(trial, over.mono_ns))

    async def _rescue(self, trial: _Trial, *, passes: bool) -> None:
        """Lets an operator bring the service back, once the disturbance has passed, and watches it then. passes: it is
        waited for; after a migration that took too long nothing is, for its limit is that of the wait, too."""
        assert trial.disturbing is not None
        assert isinstance(trial.instance, Rescuable)
        self._phase(trial.events, "settle")
        ends = partial(trial.disturbing.end, trial.opened, INSTANCE, MIGRATION)
        trial.facts["rescue"] = await rescue(trial.instance, trial.disturbing, ends, trial.guest, passes=passes)
        trial.events.add("recovered")
        self._phase(trial.events, "after")
        await self._watch(trial, self._plan.windows.before)

    async def _settle(self, trial: _Trial, over_ns: int) -> None:
        """Waits until the service has recovered from a migration that was over at that stamp, and watches it then."""
        if trial.spec.factors.probes == "all":
            await self._await_recovery(trial, over_ns)
        self._phase(trial.events, "after")
        await self._watch(trial, self._plan.windows.before)

    async def _await_recovery(self, trial: _Trial, over_ns: int) -> None:
        self._phase(trial.events, "settle")
        watch = EchoWatch(trial.opened, self._plan.probes.echo_rate)

        async def recovered() -> bool:
            trial.crew.check()
            if problem := trial.instance.problem():
                raise TrialFailed(problem)
            return watch.recovered(over_ns) is not None

        try:
            await until(recovered, self._plan.windows.limit, "500 ms without a lost probe after the migration", 0.05)
        except Late as error:
            raise TrialFailed(f"the service did not recover: {error}") from error
        trial.events.add("recovered")


def _request(trial: _Trial) -> None:
    if trial.disturbing is not None:
        trial.disturbing.request()
    trial.events.add("migrate_request", source=trial.spec.source, destination=trial.spec.destination)
