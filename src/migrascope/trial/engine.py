"""The order of a trial: arrange, steady, before, migrate, settle, after, drain, collect."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from migrascope.lab.contract import Lab, NotConverged
from migrascope.lab.disturbable import Healable, Rescuable
from migrascope.lab.runtime import Runtime
from migrascope.model.plan import Plan
from migrascope.model.problem import NotThere, Problem, RunStops
from migrascope.model.schedule import TrialSpec
from migrascope.node.wait import WaitTimeout, wait_until
from migrascope.store.recording import TrialFacts
from migrascope.trial.after_failure import failed, healed, rescue, to_its_end
from migrascope.trial.parts import ORDER, Trial, TrialFailed
from migrascope.trial.post_checks import Proof, failures, prove
from migrascope.trial.runtime import MACHINE
from migrascope.trial.sampling import sample
from migrascope.trial.setup import arranged, begun
from migrascope.trial.spool_watch import EchoWatch
from migrascope.trial.steady_state import SteadyState
from migrascope.trial.witnesses import keep_volume, pages

INSTANCE, MIGRATION = "vm-1", "m-1"


class TrialEngine:
    """Runs trials of one plan on one lab, one after another."""

    def __init__(
        self, lab: Lab, plan: Plan, say: Callable[[str], None], site: Mapping[str, str] = MappingProxyType({}),
        runtime: Runtime = MACHINE,
    ) -> None:  # fmt: skip
        """site: SHA-256 of the website's files by path, empty where they are not known. runtime: where its programs
        run."""
        self._lab, self._plan, self._say, self._site, self._runtime = lab, plan, say, site, runtime
        self._came = set[tuple[str, str]]()
        """Scenarios that were there, each with the host on which the guest was."""

    async def run(self, spec: TrialSpec, opened: Path) -> TrialFacts:
        """Runs one trial into its open folder. A trial that fails gives its facts with the reason, and no exception but
        RunStops where an address, an answer or a live stream does not come that never came there: it would in no other
        trial.

        Whatever happens, and at a cancellation too, the instance and every process of the trial are gone afterwards.
        """
        lab = self._lab
        facts = begun(self._plan, spec, lab.hosts, INSTANCE, MIGRATION, **lab.facts)
        trial = Trial(
            self._plan, self._runtime, lab.client, opened, lab.folder / f"trial-{spec.number}", INSTANCE, MIGRATION,
            spec.factors.probes == "all", self._say, facts.facts, lab, spec.factors, facts.source, facts.destination,
            facts.settings,
        )  # fmt: skip
        return await to_its_end(trial, facts, self._run_or_stop)

    async def _run_or_stop(self, trial: Trial, facts: TrialFacts) -> TrialFacts:
        try:
            return await self._run(trial, facts)
        except NotThere as error:
            if (trial.factors.scenario, trial.source) in self._came:
                raise
            raise RunStops(str(error)) from error

    async def _run(self, trial: Trial, facts: TrialFacts) -> TrialFacts:
        trial.phase("arrange")
        async with arranged(trial, ORDER):
            self._came.add((trial.factors.scenario, trial.source))
            error = await self._observe(trial)
            if trial.disturbing is not None:
                facts.facts["disturbance"] = trial.disturbing.facts()
            facts = replace(facts, proof=await self._drain(trial, trial.source if error else trial.destination))
            if error is None:
                trial.processes.check()
            trial.phase("collect")
            await trial.processes.stop()
            await keep_volume(trial.instance, trial.opened, self._site)
            if trial.disturbing is not None and isinstance(self._lab, Healable):
                facts.facts["healing"] = asdict(await healed(self._lab))
            if error is not None:
                return failed(facts, error)
            lost = failures(facts.proof, "fail") or failures(facts.proof, "unknown")
            return replace(facts, status="failed" if lost else "ok", reason="; ".join(lost) or None)

    async def _observe(self, trial: Trial) -> Exception | None:
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

    async def _drain(self, trial: Trial, place: str) -> Proof:
        """Lets what is under way come in, and proves what guest is there. place: where it should be."""
        async with trial.draining():
            proof = await prove(trial.instance, trial.guest, trial.boot_id, place)
            if self._site:
                proof["site"] = await pages(trial.instance.address, self._lab.client, self._site, self._runtime)
            return proof

    async def _await_steady(self, trial: Trial) -> None:
        """Waits for a steady state, and for the window before the migration: the last that was steady, after the memory
        was sampled, or where a disturbance belongs into it one that begins now."""
        trial.phase("steady")
        disturbing, windows = trial.disturbing, self._plan.windows
        if trial.observed:
            viewers = [name for family in self._plan.families for name in trial.workload.viewers_over(family)]
            in_window = disturbing is not None and disturbing.in_window
            steady = SteadyState(
                trial.opened, self._plan, trial.guest, viewers, self._say,
                loaded=bool(trial.factors.write_Bps) or (disturbing is not None and not disturbing.passes),
            )  # fmt: skip
            with closing(steady):
                since = await steady.wait(trial.check)
                trial.facts["guest_busy"] = steady.busy()
                if await sample(trial) and not in_window:
                    since = await steady.wait(trial.check)
            if not in_window:
                trial.events.add_at("phase", since, phase="before")
                return
        trial.phase("before")
        if disturbing is not None:
            disturbing.window()
        await trial.watch(windows.before)

    async def _migrate(self, trial: Trial) -> None:
        """Migrates and watches what comes after. Problem, at the end, when the migration failed."""
        events, limit = trial.events, self._plan.windows.limit
        trial.phase("migrate")
        try:
            answer = await trial.instance.migrate(trial.destination, limit, lambda: _request(trial))
        except Problem as error:
            over = events.add("migrate_failed", reason=str(error))
            if _rescued(trial):
                await self._rescue(trial, passes=not isinstance(error, NotConverged))
            elif trial.instance.problem() is None:
                await self._settle(trial, over.mono_ns)
            raise
        over = events.add("migrate_done", answer=answer)
        await (self._rescue(trial, passes=True) if _rescued(trial) else self._settle(trial, over.mono_ns))

    async def _rescue(self, trial: Trial, *, passes: bool) -> None:
        """Lets an operator bring the service back, once the disturbance has passed, and watches it then. passes: it is
        waited for; after a migration that took too long nothing is, for its limit is that of the wait, too."""
        assert trial.disturbing is not None
        assert isinstance(trial.instance, Rescuable)
        trial.phase("settle")
        ends = partial(trial.disturbing.end, trial.opened, INSTANCE, MIGRATION)
        done = await rescue(trial.instance, trial.disturbing, ends, trial.guest, passes=passes)
        trial.facts["rescue"] = asdict(done)
        trial.events.add("recovered")
        trial.phase("after")
        await trial.watch(self._plan.windows.before)

    async def _settle(self, trial: Trial, over_ns: int) -> None:
        """Waits until the service has recovered from a migration that was over at that stamp, and watches it then."""
        if trial.observed:
            await self._await_recovery(trial, over_ns)
        trial.phase("after")
        await trial.watch(self._plan.windows.before)

    async def _await_recovery(self, trial: Trial, over_ns: int) -> None:
        trial.phase("settle")
        rate = self._plan.probes.echo_rate
        watches = {family: EchoWatch(trial.opened, rate, family=family) for family in self._plan.families}

        async def recovered() -> bool:
            trial.check()
            for family in [family for family, watch in watches.items() if watch.recovered(over_ns) is not None]:
                del watches[family]
            return not watches

        try:
            await wait_until(
                recovered, self._plan.windows.limit, "500 ms without a lost probe after the migration", 0.05
            )
        except WaitTimeout as error:
            over = f" over {', '.join(watches)}" if len(self._plan.families) > 1 else ""
            raise TrialFailed(f"the service did not recover{over}: {error}") from error
        trial.events.add("recovered")


def _rescued(trial: Trial) -> bool:
    """Whether an operator helps after the migration, who waits for nothing before."""
    disturbing = trial.disturbing
    return disturbing is not None and disturbing.passes and isinstance(trial.instance, Rescuable)


def _request(trial: Trial) -> None:
    if trial.disturbing is not None:
        trial.disturbing.request()
    trial.events.add("migrate_request", source=trial.source, destination=trial.destination)
