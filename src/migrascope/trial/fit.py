"""Finds the load that fits: a guest of the plan's heaviest scenario is visited more and more, and nothing migrates."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from migrascope.lab.contract import Instance, Lab
from migrascope.lab.runtime import Runtime
from migrascope.model.clock import mono_s
from migrascope.model.family import Family
from migrascope.model.load import LEAST_RATE, Load, Tried
from migrascope.model.plan import EchoKind, Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors, cells
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.wait import wait_until
from migrascope.store.removal import NotRemoved, remove_tree
from migrascope.store.spool import Follower
from migrascope.trial.parts import Trial, instance, ledger, live_stream, memory, observers, reflector, second_family
from migrascope.trial.processes import Processes
from migrascope.trial.programs import agent_url, process_specs
from migrascope.trial.runtime import MACHINE
from migrascope.trial.setup import arranged, programs
from migrascope.workload.scenario import scenario

LIMIT_S = 20.0
"""Maximum time to search, from the guest's first answer on."""
_ATTEMPT_S = 6.0
"""Maximum time that one attempt takes: so long before the limit none is begun."""
_WEIGHTS = ("none", "online", "offline", "relay")
"""Scenarios by what they cost the guest, the heaviest last."""


class TooSlow(Problem):
    """A machine on which a guest does not bear even the least load."""


def heaviest(plan: Plan) -> Factors:
    """The cell of a plan whose visitors and viewers cost the guest most; it writes nothing and holds nothing more."""
    observed = [cell for cell in cells(plan) if cell.probes == "all"] or cells(plan)
    factors = max(observed, key=lambda cell: (_WEIGHTS.index(cell.scenario), -cell.vcpus))
    return replace(
        factors,
        resident_bytes=0,
        write_Bps=0.0,
        write_set_bytes=0,
        write_pattern="none",
        disturbance="none",
        instances=1,
    )


@dataclass(frozen=True)
class _Rates:
    """What is searched for. part: of each kind, its part of the rate that is tried; fixed: visits a second of each kind
    that do not change; most: the highest rate that is tried."""

    fixed: dict[str, float]
    part: dict[str, float]
    most: float

    @classmethod
    def of(cls, plan: Plan) -> "_Rates":
        """Where a plan leaves the rates open, these; else all of its rates in their proportion."""
        given = {"new": plan.visitors.new_rate, "kept": plan.visitors.kept_rate}
        numbers = {kind: rate for kind, rate in given.items() if not isinstance(rate, str)}
        if len(numbers) < len(given):
            return cls(numbers, {kind: 1.0 for kind in given if kind not in numbers}, plan.visitors.most)
        most = max(numbers.values())
        return cls({}, {kind: rate / most for kind, rate in numbers.items()}, most)

    def at(self, rate: float) -> tuple[float, float]:
        """Visits a second of new and kept connections at a rate."""
        new, kept = (self.fixed.get(kind, 0.0) + self.part.get(kind, 0.0) * rate for kind in ("new", "kept"))
        return new, kept


class Fit:
    """Searches once on a lab for a plan. say: takes what is being done, in words."""

    def __init__(self, lab: Lab, plan: Plan, say: Callable[[str], None], runtime: Runtime = MACHINE) -> None:
        self._lab, self._plan, self._say, self._runtime = lab, plan, say, runtime
        self._rates = _Rates.of(plan)
        self._tried: list[Tried] = []

    async def find(self) -> Load:
        """The load that fits. TooSlow where not even LEAST_RATE visits a second and one viewer do."""
        lab, factors = self._lab, heaviest(self._plan)
        folder = lab.folder / "fit"
        unvisited = self._plan.loaded(replace(self._plan.full_load(), new_rate=0.0, kept_rate=0.0, viewers=0))

        def say(text: str) -> None:
            self._say(f"finding the load that fits: {text}")

        trial = Trial(
            unvisited, self._runtime, lab.client, folder, folder, "vm-1", "", True, say, {}, lab, factors,
            lab.hosts[0], "", {},
        )  # fmt: skip
        try:
            parts = (instance, second_family, live_stream, memory, programs, reflector, observers, ledger)
            async with arranged(trial, parts):
                return await self._search(trial)
        finally:
            with contextlib.suppress(NotRemoved):  # the lab's folder goes with the lab
                await asyncio.to_thread(remove_tree, folder, lab.folder)

    async def _search(self, trial: Trial) -> Load:
        """Tries with all viewers, then with fewer, until the least rate is borne."""
        made, name = trial.instance, trial.factors.scenario
        workload = scenario(name, self._plan.visitors.viewers, trial.lab.origin)
        viewers: Sequence[int] = range(len(workload.viewers), 0, -1) if workload.viewers else [0]
        serves: float | None = None
        for count in viewers:
            attempt = trial.folder / f"viewers-{count}"
            attempt.mkdir()
            tried = replace(trial, opened=attempt, folder=attempt)
            async with arranged(tried, (programs,)):
                people = replace(workload, viewers=workload.viewers[:count])
                echo: dict[Family, EchoKind] = dict.fromkeys(trial.plan.families, trial.facts["echo_kind"])
                seated = process_specs(trial.client, made, trial.plan, people, observed=True, echo=echo)
                await tried.processes.start([spec for spec in seated if spec.source.startswith("viewer-")])
                await tried.processes.start([self._searcher(made, workload.page_path, count)])
                rate, busy, serves = await self._found(attempt, tried.processes)
            if rate >= min(LEAST_RATE, self._rates.most):
                new, kept = self._rates.at(rate)
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                shown = count if workload.viewers else self._plan.visitors.viewers
                return Load(new, kept, shown, "found", serves, rate, busy, name, now, tuple(self._tried))
        last = self._tried[-1]
        used = f", {100 * last.busy:.0f} % of a processor used" if last.busy is not None else ""
        raise TooSlow(
            f"this machine is too slow: of {LEAST_RATE:g} visits/s of each kind its guest answers "
            f"{100 * last.in_time:.0f} % in time{used}\n  next: end other work on this machine and run again, or give "
            "fewer visits in a plan, as in [visitors] new_rate = 2, kept_rate = 2"
        )

    def _searcher(self, instance: Instance, page_path: str, viewers: int) -> ProcessSpec:
        address, rates = instance.address, self._rates
        each = len(self._plan.families)  # of as many visits each: all of them come over the first here
        config = {
            "url": f"http://{address}{page_path}", "agent": agent_url(address),
            "fixed": {kind: each * rate for kind, rate in rates.fixed.items()},
            "part": {kind: each * part for kind, part in rates.part.items()},
            "most": rates.most, "viewers": viewers, "limit_s": LIMIT_S - _ATTEMPT_S,
            "kept_connections": self._plan.visitors.kept_connections, "processes": list(instance.pids().values()),
        }  # fmt: skip
        return ProcessSpec("capacity", "migrascope.workload.capacity", "client", self._lab.client, config)

    async def _found(self, folder: Path, processes: Processes) -> tuple[float, float | None, float | None]:
        """(rate, the guest's share of a core at it, the rate that would fill it) as soon as the searcher knows."""
        tried, borne = Follower(folder / "tried@capacity.jsonl"), Follower(folder / "borne@capacity.jsonl")
        found: list[list[float]] = []
        began = mono_s()

        async def known() -> bool:
            processes.check()
            for _, viewers, rate, in_time, busy in tried.rows():
                self._tried.append(Tried(rate, in_time, busy if busy >= 0 else None, viewers))
                left = max(0.0, LIMIT_S - (mono_s() - began))
                used = f", guest's processor {100 * busy:.0f} %" if busy >= 0 else ""
                words = f"{rate:.0f} visits/s of each kind: {100 * in_time:.0f} % in time{used}"
                self._say(f"finding the load that fits: {words} (at most {left:.0f} s more)")
            found.extend(borne.rows())
            return bool(found)

        await wait_until(known, LIMIT_S + 10, "it is known how many visits the guest bears", 0.1)
        _, _, rate, busy, serves = found[0]
        return rate, busy if busy >= 0 else None, serves if serves >= 0 else None
