"""A trial at an address of others, whose machine a command moves, in the order of every trial: arrange, steady, before,
migrate, settle, after, drain, collect. What only a lab knows is not recorded."""

import asyncio
import contextlib
import shlex
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migrascope.lab.contract import MigrationFailed
from migrascope.lab.runtime import Runtime
from migrascope.model.clock import mono_ns, mono_s
from migrascope.model.observed import ObservedPlan
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import TrialSpec
from migrascope.model.steady import NS
from migrascope.node import process
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.wait import WaitTimeout, wait_until
from migrascope.probe.peer_clock import refusal
from migrascope.store.recording import TrialFacts
from migrascope.trial.after_failure import failed, to_its_end
from migrascope.trial.post_checks import failures
from migrascope.trial.runtime import MACHINE
from migrascope.trial.setup import Part, Setup, arranged, begun, machine, programs
from migrascope.trial.spool_watch import GRACE_NS, EchoWatch, VisitWatch
from migrascope.trial.steady_state import NotSteady

FACTS = {"lab": "address", "accelerator": "unknown", "qemu": "unknown"}
SOURCE, DESTINATION = "source", "destination"
"""Where the machine is before and after the command: nobody here knows the hosts' names."""
INTERRUPTED = "interrupted"
QUIET_S = 10.0
"""An asynchronous command is over so long after the last outage."""
MOST_LINES, MOST_LENGTH = 1000, 500
"""Lines of the command's output that are recorded, and characters of each."""
_INSTANCE, _MIGRATION = "vm-1", "m-1"
_LOOK_S = 0.1
_VISIT_GRACE_NS = NS
"""So long after it was due, a visit of a machine elsewhere is answered."""
_BACK_NS = 2 * NS
"""Where only visits show it, a service is back when all of so long a time were answered."""
_ENDS_S = 5.0
"""Maximum time for a command to end after SIGINT."""


class CommandFailed(MigrationFailed):
    """The command that should move the machine ended with an error, or not in time."""


@dataclass(frozen=True)
class Moved:
    """A move, from its request to its end (mono ns). answer: what who moved the machine said at last."""

    request_ns: int
    over_ns: int
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class ObservedTrial(Setup):
    """A trial at an address. watchers: what observes its hosts, where they are known. echo, visits: None where nothing
    probes, or nobody visits."""

    watchers: Sequence[ProcessSpec] = ()
    echo: EchoWatch | None = field(init=False, default=None)
    visits: VisitWatch | None = field(init=False, default=None)

    @property
    def observed_plan(self) -> ObservedPlan:
        return self.plan.observed

    def unsteady(self, since: int, until_ns: int) -> dict[str, str]:
        """Why the window [since, until) is not steady, by what shows it."""
        watches = {"probes": self.echo, "visitors": self.visits}
        found = {name: watch.unsteady(since, until_ns) for name, watch in watches.items() if watch is not None}
        return {name: why for name, why in found.items() if why}

    def grace_ns(self) -> int:
        """So long after a moment, what belongs to it is written."""
        return GRACE_NS if self.visits is None else _VISIT_GRACE_NS

    def recovered(self, since_ns: int) -> bool:
        """Whether the service has recovered from what was over at that stamp."""
        if self.echo is not None:
            return self.echo.recovered(since_ns) is not None
        now = mono_ns() - self.grace_ns()
        return now - _BACK_NS >= since_ns and not self.unsteady(now - _BACK_NS, now)


@asynccontextmanager
async def observers(trial: ObservedTrial) -> AsyncIterator[None]:
    """The prober, and visitors of the URL."""
    observed, plan = trial.observed_plan, trial.plan
    members = []
    if observed.way != "none":
        config = {"target": observed.address, "rate": plan.probes.echo_rate, "kind": observed.way, "heeds": True}
        members.append(_member("echo", "probe.echo", **config, port=observed.port))
    new, kept = plan.visitors.rates
    if observed.url:
        rates = {"new_rate": new, "kept_rate": kept, "kept_connections": plan.visitors.kept_connections}
        members.append(_member("visitors", "workload.visitors", url=observed.url, seed=plan.seed, **rates))
    if unseen := _clock_unseen(observed):
        trial.facts["peer_clock"] = unseen
    else:
        target = {**_machine(trial, "clock"), "port": observed.clock_port}
        members.append(_member("clock", "probe.peer_clock", targets=[target], rate=observed.clock_rate, part_s=None))
    if observed.boot_url:
        asked = {**_machine(trial, "boot"), "url": observed.boot_url}
        members.append(_member("boot", "probe.boot", targets=[asked], part_s=None))
    members.append(_member("neighbour", "probe.neighbour", targets=[_machine(trial, "neighbour")], part_s=None))
    trial.facts["echo_kind"] = observed.way
    await trial.processes.start([*members, *trial.watchers])
    before_s = plan.windows.before
    if observed.way != "none":
        trial.echo = EchoWatch(trial.opened, plan.probes.echo_rate, before_s)
    if observed.url:
        trial.visits = VisitWatch(trial.opened, {"new": new, "kept": kept}, before_s, loaded=True)
    yield


def _machine(trial: ObservedTrial, source: str) -> dict[str, Any]:
    return {"source": source, "instance": trial.instance_id, "address": trial.observed_plan.address}


def _clock_unseen(observed: ObservedPlan) -> str | None:
    """Why no connection is kept for its time stamps."""
    if not observed.clock_port:
        return "no TCP port of the machine is known that is open"
    return refusal(observed.address)


def _member(source: str, module: str, **config: Any) -> ProcessSpec:
    return ProcessSpec(source, f"migrascope.{module}", "client", None, config)


PARTS: tuple[Part[ObservedTrial], ...] = (programs, observers, machine)


class ObservedTrials:
    """Runs the trials of a plan at an address. folder: for files that go with a trial."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None], runtime: Runtime = MACHINE) -> None:
        self._plan, self._folder, self._say, self._runtime = plan, folder, say, runtime
        self._known: Mapping[str, Any] = FACTS
        self._interrupted = False

    async def run(self, spec: TrialSpec, opened: Path) -> TrialFacts:
        """Runs one trial into its open folder. One that is interrupted is a result, too, with what it has recorded; the
        next call raises CancelledError then."""
        if self._interrupted:
            raise asyncio.CancelledError
        # How busy others keep their machine is no fault of this measurement, as where a plan declares a load.
        busy = {**self._known, "declared_load": True}
        facts = begun(self._plan, spec, (SOURCE, DESTINATION), _INSTANCE, _MIGRATION, **busy)
        # The schedule moves to and fro between two hosts; the hosts of others are not known, and keep their roles.
        facts = replace(facts, source=SOURCE, destination=DESTINATION)
        folder = self._folder / f"trial-{spec.number}"
        folder.mkdir()
        trial = ObservedTrial(
            self._plan, self._runtime, None, opened, folder, _INSTANCE, _MIGRATION, True, self._say, facts.facts
        )
        return await to_its_end(trial, facts, self._run_or_interrupted)

    async def _run_or_interrupted(self, trial: ObservedTrial, facts: TrialFacts) -> TrialFacts:
        """The trial; where it is cancelled, what there is of it."""
        try:
            return await self._run(trial, facts)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            self._interrupted = True
            return replace(facts, reason=INTERRUPTED)

    async def _run(self, trial: ObservedTrial, facts: TrialFacts) -> TrialFacts:
        trial.phase("arrange")
        if facts.number > 1:
            await asyncio.sleep(self._plan.observed.pause)
        facts = await self._prepare(trial, facts)
        async with arranged(trial, PARTS):
            error = await self._observe(trial)
            async with trial.draining():
                facts = await self._proved(facts, moved=error is None)
            if error is None:
                trial.check()
            trial.phase("collect")
            await trial.processes.stop()
        if error is not None:
            return failed(facts, error)
        lost = failures(facts.proof, "fail")
        return replace(facts, status="failed" if lost else "ok", reason="; ".join(lost) or None)

    async def _prepare(self, _trial: ObservedTrial, facts: TrialFacts) -> TrialFacts:
        """Makes the machine ready to be observed, and gives what more is known of it then."""
        observed = self._plan.observed
        if observed.prepare:
            argv = ["/bin/sh", "-c", observed.prepare]
            await process.run("prepare", argv, process.Where(), timeout_s=observed.command_limit)
        return facts

    async def _proved(self, facts: TrialFacts, *, moved: bool) -> TrialFacts:
        """The facts with what is proved of the machine afterwards, which is nothing from outside. moved: it should have
        moved."""
        return facts

    async def _observe(self, trial: ObservedTrial) -> Exception | None:
        """From the steady state to the end of the window after the migration, and why it came to no good end."""
        try:
            await self._await_steady(trial)
            await self._migrate(trial)
        except (Problem, OSError) as error:
            return error
        return None

    async def _await_steady(self, trial: ObservedTrial) -> None:
        """Waits for the window before the migration: the first that is steady."""
        trial.phase("steady")
        windows = self._plan.windows
        deadline = mono_s() + windows.before + windows.steady_limit
        while True:
            trial.check()
            end = mono_ns() - trial.grace_ns()
            since = end - round(windows.before * NS)
            waiting = trial.unsteady(since, end)
            if not waiting:
                break
            words = "; ".join(f"{source}: {why}" for source, why in waiting.items())
            if mono_s() > deadline:
                raise NotSteady(f"not steady in {windows.steady_limit:g} s: {words}; the command was not run")
            trial.say(f"steady state: {words}")
            await asyncio.sleep(_LOOK_S)
        trial.events.add_at("phase", since, phase="before")

    async def _migrate(self, trial: ObservedTrial) -> None:
        """Moves the machine and watches what comes after. Problem, at the end, when that failed."""
        trial.phase("migrate")
        try:
            moved = await self._move(trial)
        except Problem as error:
            over = trial.events.add("migrate_failed", reason=str(error))
            await self._settle(trial, over.mono_ns)
            raise
        over_ns = moved.over_ns
        if self._plan.observed.until_quiet:
            over_ns = max(over_ns, await self._await_quiet(trial, moved.request_ns))
        trial.events.add_at("migrate_done", over_ns, answer=moved.answer)
        await self._settle(trial, over_ns)

    async def _move(self, trial: ObservedTrial) -> Moved:
        """Runs the command."""
        request = trial.events.add("migrate_request", source=SOURCE, destination=DESTINATION)
        return Moved(request.mono_ns, await _command(trial))

    async def _await_quiet(self, trial: ObservedTrial, since_ns: int) -> int:
        """Waits for an outage and then for QUIET_S without one; the last outage's end (mono ns). CommandFailed where
        none comes."""
        assert trial.echo is not None
        limit_s, deadline = self._plan.observed.command_limit, mono_s() + self._plan.observed.command_limit
        while True:
            trial.check()
            last = trial.echo.last_outage(since_ns)
            if last is not None and mono_ns() - last > QUIET_S * NS:
                return last
            if mono_s() > deadline:
                words = "the service did not become quiet" if last is not None else "no outage was seen"
                raise CommandFailed(f"{words} within {limit_s:g} s after the command had ended")
            trial.say("the outage" if last is None else f"{QUIET_S:g} s without an outage")
            await asyncio.sleep(_LOOK_S)

    async def _settle(self, trial: ObservedTrial, over_ns: int) -> None:
        """Waits until the service has recovered from what was over at that stamp, and watches it then."""
        trial.phase("settle")

        async def recovered() -> bool:
            trial.check()
            return trial.recovered(over_ns)

        limit_s = self._plan.windows.limit
        try:
            await wait_until(recovered, limit_s, "the service answers again after the migration", 0.05)
        except WaitTimeout as error:
            raise Problem(f"the service did not recover: {error}") from error
        trial.events.add("recovered")
        trial.phase("after")
        await trial.watch(self._plan.windows.before)


async def _command(trial: ObservedTrial) -> int:
    """Runs the command to its end and records what it writes; when it ended (mono ns). CommandFailed."""
    observed = trial.observed_plan
    argv, last = observed.command, [""]
    log = trial.folder / "command.log"
    running = await process.start("command", argv, process.Where(), log, piped=True, merged=True)
    trial.events.add("command", what="start", argv=argv)
    reading = asyncio.ensure_future(_record_output(trial, running, last))
    try:
        code = await _end_of(trial, running)
        ended = trial.events.add("command", what="end", exit=code)
        with contextlib.suppress(TimeoutError):  # what it has left running may hold its output open
            await asyncio.wait_for(reading, 1)
    finally:
        reading.cancel()
        await _ended(running)
    if code is None:
        raise CommandFailed(f"the command was still running after {observed.command_limit:g} s and was ended")
    if code:
        words = f": {last[0]}" if last[0] else ""
        raise CommandFailed(f"the command ended with {code}{words}\n  command: {shlex.join(argv)}")
    return ended.mono_ns


async def _end_of(trial: ObservedTrial, running: process.Process) -> int | None:
    """Its exit code; None where it goes on beyond its limit."""
    deadline = mono_s() + trial.observed_plan.command_limit
    while mono_s() < deadline:
        trial.check()
        with contextlib.suppress(TimeoutError):
            return await running.wait(_LOOK_S)
    return None


async def _record_output(trial: ObservedTrial, running: process.Process, last: list[str]) -> None:
    count = 0
    async for line in running.lines():
        last[0], count = line[:MOST_LENGTH], count + 1
        if count <= MOST_LINES:
            trial.events.add("command", what="output", line=last[0])
            trial.say(f"command: {last[0]}")


async def _ended(running: process.Process) -> None:
    """Ends it as Ctrl-C does, with all that it has started, where it has not ended; at a second Ctrl-C at once."""
    if running.ended:
        return
    running.send_all(signal.SIGINT)
    try:
        with contextlib.suppress(TimeoutError):
            await running.wait(_ENDS_S)
    finally:
        if not running.ended:
            running.send_all(signal.SIGKILL)
    await running.wait()
