"""Known truths: the recording that calibrate makes, of cuts and pauses of our making and of answers held back."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from migrascope.lab.contract import address_over
from migrascope.lab.injectors.delay import LinkDelay
from migrascope.lab.qemu.lab import QemuInstance, QemuLab
from migrascope.lab.qemu.topology import address
from migrascope.model.calibration import Condition
from migrascope.model.clock import mono_ns
from migrascope.model.family import FIRST, Family, source_of
from migrascope.model.plan import Plan
from migrascope.model.schedule import Factors
from migrascope.model.steady import IN_TIME_NS, NS
from migrascope.node.link import PortSwitch
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.wait import wait_until
from migrascope.store.recording import TrialFacts
from migrascope.store.spool import Spool
from migrascope.trial.fit import heaviest
from migrascope.trial.parts import Trial, instance, memory
from migrascope.trial.processes import Processes
from migrascope.trial.programs import machine_watch, people
from migrascope.trial.runtime import MACHINE
from migrascope.trial.setup import arranged, programs
from migrascope.trial.spool_watch import GRACE_NS, EchoWatch

_HOLD_PORT = 8090
_REST_S = 0.7
_HTTP_REST_S = 2.2
_PLAYER_REST_S = 1.5
_QUIET_S = 6.0
_SPREAD = (0.9, 1.1)
_LONGER = (1.0, 1.1)
_STEADY_LIMIT_S = 30.0
INSTANCE = "vm-1"


@dataclass(frozen=True)
class Series:
    """The lengths (s) that each truth is made with, how often each, and the seed of their order.

    Each lasts up to a tenth more or less than its nominal length, and begins at any moment: round ones flatter whoever
    counts in their steps. HTTP's are as long as their visitors are patient, and the length: a shorter hold makes
    nobody late, and what makes no blackout has no error.
    """

    lengths_s: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    repeats: int = 10
    seed: int = 1

    def shuffled(self, kinds: tuple[str, ...]) -> list[tuple[str, float]]:
        """Every kind with every length, interleaved."""
        series = [(kind, length) for kind in kinds for length in self.lengths_s for _ in range(self.repeats)]
        random.Random(self.seed).shuffle(series)
        return series

    def holds(self) -> list[dict[str, float | str]]:
        """The schedule of the holding server: HTTP and player side by side, each hold with a rest after it."""
        schedule: list[dict[str, float | str]] = []
        spread = random.Random(self.seed)
        for kind, rest, patience in (("http", _HTTP_REST_S, IN_TIME_NS / NS), ("player", _PLAYER_REST_S, 0.0)):
            at = _QUIET_S
            for _, length in self.shuffled((kind,)):
                nominal = round(length + patience, 6)
                hold = patience + length * spread.uniform(*_SPREAD)
                schedule.append({"at_s": at, "hold_s": hold, "nominal_s": nominal, "kind": kind})
                at += hold + rest * spread.uniform(*_LONGER)
        return schedule

    def holds_s(self) -> float:
        """About how long the holds take."""
        ends = [float(hold["at_s"]) + float(hold["hold_s"]) for hold in self.holds()]
        return max(ends) + _HTTP_REST_S

    def held(self, condition: Condition) -> bool:
        """Whether answers are held back, too: a server of ours does that, which is as near in each condition."""
        return not condition.added_rtt_s

    def seconds(self, condition: Condition) -> float:
        """About how long it takes."""
        interrupted = sum(length + _REST_S for _, length in self.shuffled(("cut", "pause")))
        return interrupted + (self.holds_s() if self.held(condition) else 0.0)


@dataclass(frozen=True)
class Truths:
    """The whole series, made under a condition. echo_rates: the first is the meter's; each further one is a prober of
    its own beside it, recorded in the trial's folder beside-RATE."""

    lab: QemuLab
    plan: Plan
    series: Series
    echo_rates: tuple[float, ...]
    condition: Condition

    async def make(self, number: int, opened: Path) -> TrialFacts:
        """Makes it into `opened`, as the recording of a trial of that number without a migration. ProcessError,
        MonitorError, WaitTimeout or OSError where it cannot be done."""
        lab, plan, factors = self.lab, self.plan, self._factors()
        facts = TrialFacts(
            number, 1, factors, "host-a", "host-a", INSTANCE, "", "ok", None, plan.base_units(),
            facts=dict(lab.facts) | {"condition": asdict(self.condition)},
        )  # fmt: skip
        trial = Trial(
            plan, MACHINE, lab.client, opened, lab.folder / f"calibrate-{number}", INSTANCE, "", True,
            lambda phase: None, facts.facts, lab, factors, "host-a", "host-a", facts.settings,
        )  # fmt: skip
        trial.events.add("trial_start")
        parts = (instance, memory, programs, self._far, partial(_meters, rates=self.echo_rates), self._load)
        async with arranged(trial, parts):
            made, processes = cast(QemuInstance, trial.instance), trial.processes
            watches = [EchoWatch(opened, self.echo_rates[0], family=family) for family in plan.families]

            async def steady() -> bool:
                processes.check()
                now = mono_ns() - GRACE_NS
                for watch in watches:
                    watch.update()
                return all(watch.whole(now - NS, now) for watch in watches)

            await wait_until(steady, _STEADY_LIMIT_S, "a second of echo without loss", 0.1)
            trial.phase("before")
            await _interrupt(lab, made, processes, self.series, opened)
            if self.series.held(self.condition):
                await processes.start(_held(lab, plan, self.series))
                await _await_holds(opened, processes, self.series)
            async with trial.draining():
                pass
            trial.phase("collect")
            processes.check()
        return facts

    def _factors(self) -> Factors:
        """The guest of the plan that has most to do, where it has anything to do."""
        if self.condition.load == "loaded":
            return heaviest(self.plan)
        memory_bytes = self.plan.axes.memory[0]
        return Factors("none", "pre-copy", memory_bytes, 0.0, 0.0, "warm", vcpus=self.plan.instance.vcpus)

    @asynccontextmanager
    async def _far(self, trial: Trial) -> AsyncIterator[None]:
        """The visitors' link, as long as the condition says."""
        half, links = self.condition.added_rtt_s / 2, self.lab.topology.lab_links
        line = LinkDelay(links, "external", ["client"], half, half, trial.folder / "far.log") if half else None
        try:
            if line is not None:
                await line.arm()
                await line.apply()
            yield
        finally:
            if line is not None:
                await line.heal()

    @asynccontextmanager
    async def _load(self, trial: Trial) -> AsyncIterator[None]:
        """Who uses the guest, recorded apart from those who are held up."""
        if self.condition.load == "idle":
            yield
            return
        async with _beside(trial, "load") as beside:
            await beside.processes.start(people(trial.client, trial.instance.address, self.plan, trial.workload))
            yield


@asynccontextmanager
async def _beside(trial: Trial, name: str) -> AsyncIterator[Trial]:
    """The same trial, for programs that record into a folder of their own in it."""
    beside = replace(trial, opened=trial.opened / name)
    beside.opened.mkdir()
    async with programs(beside):
        yield beside


@asynccontextmanager
async def _meters(trial: Trial, rates: tuple[float, ...]) -> AsyncIterator[None]:
    """What watches the cuts and pauses, over each of the plan's families. A prober for each rate, those after the first
    beside it, and over the first family alone."""
    async with AsyncExitStack() as stack:
        made = cast(QemuInstance, trial.instance)
        qmp = {"hosts": made.probe_sockets(), "interval_s": 0.0}
        space = cast(QemuLab, trial.lab).topology.fabric
        watching = ProcessSpec("qmp", "migrascope.probe.qmp", "host-a", space, qmp)
        probers = [_echo(trial, rates[0], family) for family in trial.plan.families]
        await trial.processes.start([machine_watch({}), *probers, watching])
        for rate in rates[1:]:
            beside = await stack.enter_async_context(_beside(trial, f"beside-{rate:g}"))
            await beside.processes.start([_echo(beside, rate)])
        yield


def _echo(trial: Trial, rate: float, family: Family = FIRST) -> ProcessSpec:
    target = address_over(trial.instance, family)
    return trial.member(source_of("echo", family), "probe.echo", target=target, rate=rate, kind="icmp")


def _held(lab: QemuLab, plan: Plan, series: Series) -> list[ProcessSpec]:
    """The holding server, and the visitors and the viewer that it holds up."""
    client, origin = lab.topology.nodes["client"], lab.topology.nodes["origin"]
    site = f"http://{address('origin', 'external')}:{_HOLD_PORT}"
    server = {"address": address("origin", "external"), "port": _HOLD_PORT, "schedule": series.holds()}
    new, kept = plan.visitors.rates
    visits = {"new_rate": new, "kept_rate": kept, "kept_connections": plan.visitors.kept_connections}
    viewer = {"kind": "hls", "url": f"{site}/video/index.m3u8", "live": False}
    return [
        ProcessSpec("hold", "migrascope.workload.hold", "origin", origin, server),
        ProcessSpec(
            "visitors", "migrascope.workload.visitors", "client", client, {"url": f"{site}/", "seed": 1, **visits}
        ),
        ProcessSpec("viewer-1", "migrascope.workload.viewer", "client", client, viewer),
    ]


async def _interrupt(lab: QemuLab, instance: QemuInstance, processes: Processes, series: Series, opened: Path) -> None:
    """Cuts of the instance's bridge port and pauses of the VM, in shuffled order, with their stamps."""
    spread = random.Random(series.seed)
    host, space = instance.host, lab.topology.nodes[instance.host]
    tap, monitor = instance.spec.tap, instance.monitors[instance.host]
    with Spool(opened, "hold", source="engine", host=host, instance=INSTANCE) as spool, PortSwitch(space, tap) as port:
        await asyncio.sleep(2)
        for kind, length in series.shuffled(("cut", "pause")):
            processes.check()
            if kind == "cut":
                begun = port.set(cut=True)
                await asyncio.sleep(length * spread.uniform(*_SPREAD))
                ended = port.set(cut=False)
            else:
                asked = mono_ns()
                await monitor.execute("stop")
                begun = (asked, mono_ns())
                await asyncio.sleep(length * spread.uniform(*_SPREAD))
                asked = mono_ns()
                await monitor.execute("cont")
                ended = (asked, mono_ns())
            bound = (begun[1] - begun[0] + ended[1] - ended[0]) // 2
            spool.add(sum(begun) // 2, sum(ended) // 2, bound, kind, length)
            await asyncio.sleep(_REST_S)


async def _await_holds(opened: Path, processes: Processes, series: Series) -> None:
    """Waits until the holding server has made every hold and the last one's second of rest is over."""
    path = opened / "hold@hold.jsonl"

    async def made() -> bool:
        processes.check()
        return len(path.read_text(encoding="utf-8").splitlines()) - 1 >= len(series.holds())

    await wait_until(made, series.holds_s() + 60, "every hold was made", 0.25)
    await asyncio.sleep(_HTTP_REST_S)
