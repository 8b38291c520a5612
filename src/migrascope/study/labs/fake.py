"""The fake lab as something that runs the trials of a plan: under the real engines, in virtual time."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from migrascope.lab.fake.lab import SITE, FakeLab
from migrascope.lab.fake.script import Script, default_script
from migrascope.lab.fake.time import NS, VirtualClock, run_virtually
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec
from migrascope.store.recording import TrialFacts
from migrascope.trial.engine import TrialEngine
from migrascope.trial.fleet import FleetEngine

_APART_S = 1000
"""From the beginning of a trial to that of the next, on the monotonic clock."""


class FakeTrials:
    """Runs the trials of a plan. script: the truths of each trial, by default plausible ones by seed."""

    def __init__(self, plan: Plan, script: Callable[[TrialSpec], Script] | None = None) -> None:
        self.plan = plan.loaded(plan.full_load()) if plan.visitors.fits else plan
        self._script = script or (lambda spec: default_script(spec, plan.seed))

    def script(self, spec: TrialSpec) -> Script:
        """The truths of this trial."""
        return self._script(spec)

    async def run(self, spec: TrialSpec, opened: Path) -> TrialFacts:
        """Runs a trial into its open folder. OSError when it cannot be written."""
        return await asyncio.to_thread(self.run_now, spec, opened)

    def run_now(self, spec: TrialSpec, opened: Path) -> TrialFacts:
        """The same where no event loop runs."""
        clock = VirtualClock(_APART_S * (1 + spec.number) * NS)

        async def work() -> TrialFacts:
            with FakeLab.up(clock, lambda _: self.script(spec), spec.number) as lab:
                if self.plan.fleet.count:
                    return await FleetEngine(lab, self.plan, _quiet, lab.runtime).run(spec, opened)
                return await TrialEngine(lab, self.plan, _quiet, SITE, lab.runtime).run(spec, opened)

        return run_virtually(clock, work)


def _quiet(phase: str) -> None:
    """A phase of virtual time is over before anybody reads of it."""
