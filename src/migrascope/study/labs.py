"""Labs as something that runs the trials of a plan."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from migrascope.lab.fake import FakeTrials
from migrascope.lab.qemu.lab import QemuLab
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec
from migrascope.store.recording import Recording, TrialFacts
from migrascope.study.images import Images
from migrascope.trial.engine import TrialEngine
from migrascope.trial.origin import origin


class Progress(Protocol):
    """Where a run tells what it does: steps of its preparation, trials, and their phases."""

    def step(self, text: str) -> None: ...
    def plan(self, trials: int, finished: int, seconds_each: float) -> None: ...
    def trial_begins(self, spec: TrialSpec) -> None: ...
    def phase(self, phase: str) -> None: ...
    def trial_ends(self, recording: Recording) -> None: ...


Trials = Callable[[TrialSpec, Path], Awaitable[TrialFacts]]
Up = tuple[Trials, dict[str, Any]]
"""A lab that is up: what runs a trial into its open folder, and what the manifest says of the lab."""


@contextlib.asynccontextmanager
async def qemu_trials(plan: Plan, images: Images, progress: Progress) -> AsyncIterator[Up]:
    """The QEMU lab, up, as something that runs trials; beside it what the manifest says of it."""
    progress.step("bringing up the lab: two hosts, storage, client, origin")
    wanted, program, policies = plan.lab.accelerator, plan.lab.qemu_program, plan.chosen_policies()
    async with QemuLab.up(images.host_root, images.boot, wanted=wanted, program=program, policies=policies) as lab:
        space, folder = lab.topology.nodes["origin"], lab.folder / "origin"
        async with origin(space, lab.origin, images.host_root, images.live_loop, folder):
            yield TrialEngine(lab, plan, progress.phase, images.site).run, lab.facts | {"guest": images.guest}


@contextlib.asynccontextmanager
async def fake_trials(plan: Plan) -> AsyncIterator[Up]:
    """The fake lab, whose results say so."""
    yield FakeTrials(plan).run, {"lab": "fake", "accelerator": "none", "qemu": "none"}
