"""Labs as something that runs the trials of a plan."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from migrascope.lab.contract import Lab
from migrascope.lab.fake.lab import FACTS
from migrascope.lab.libvirt.image import LIBVIRT_HOST
from migrascope.lab.libvirt.lab import LibvirtLab
from migrascope.lab.qemu.lab import QemuLab
from migrascope.lab.qemu.topology_lab import TopologyLab
from migrascope.model.load import Load
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec
from migrascope.node.image import root_image
from migrascope.store.recording import Recording, TrialFacts
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.labs.images import Images
from migrascope.trial.engine import TrialEngine
from migrascope.trial.fit import Fit
from migrascope.trial.observed import FACTS as FACTS_OF_OTHERS
from migrascope.trial.observed import ObservedTrials
from migrascope.trial.origin import Ended, origin


class Progress(Protocol):
    """Where a run tells what it does: steps of its preparation, trials, and their phases."""

    def step(self, text: str) -> None: ...
    def waiting(self, text: str) -> None: ...
    def plan(self, specs: Sequence[TrialSpec], finished: int, seconds_each: float) -> None: ...
    def trial_begins(self, spec: TrialSpec) -> None: ...
    def phase(self, phase: str) -> None: ...
    def trial_ends(self, recording: Recording) -> None: ...


Trials = Callable[[TrialSpec, Path], Awaitable[TrialFacts]]


@dataclass(frozen=True)
class Up:
    """A lab that is up. facts: what the manifest says of it. trials: what runs the trials of a plan whose rates are
    numbers, each into its open folder. fit: finds the load that fits a plan; None where no guest bears one."""

    facts: dict[str, Any]
    trials: Callable[[Plan], Trials]
    fit: Callable[[Plan], Awaitable[Load]] | None = None


def guest_up(lab: Lab, images: Images, progress: Progress) -> Up:
    """A lab of this machine that runs trials of our guest."""
    return Up(
        lab.facts | {"guest": images.guest},
        lambda loaded: TrialEngine(lab, loaded, progress.phase, images.site).run,
        lambda loaded: Fit(lab, loaded, progress.waiting).find(),
    )


def _origin(lab: TopologyLab, images: Images) -> AbstractAsyncContextManager[Ended]:
    """Where the online video comes from, in the lab's node of that name."""
    space, folder = lab.topology.nodes["origin"], lab.folder / "origin"
    return origin(space, lab.origin, images.host_root, images.live_loop, folder)


@contextlib.asynccontextmanager
async def qemu_lab(plan: Plan, images: Images, progress: Progress) -> AsyncIterator[tuple[QemuLab, Up]]:
    """The QEMU lab with its origin, up; and as something that runs trials."""
    progress.step("bringing up the lab: two hosts, storage, client, origin")
    wanted, program, policies = plan.lab.accelerator, plan.lab.qemu_program, plan.chosen_policies()
    up = QemuLab.up(
        images.host_root, images.boot_over(plan.families), wanted=wanted, program=program, policies=policies,
        families=plan.families, stream=plan.lab.stream_family,
    )  # fmt: skip
    async with up as lab, _origin(lab, images):
        yield lab, guest_up(lab, images, progress)


@contextlib.asynccontextmanager
async def qemu_trials(plan: Plan, images: Images, progress: Progress) -> AsyncIterator[Up]:
    """The QEMU lab, up, as something that runs trials."""
    async with qemu_lab(plan, images, progress) as (_, up):
        yield up


@contextlib.asynccontextmanager
async def libvirt_trials(plan: Plan, images: Images, progress: Progress) -> AsyncIterator[Up]:
    """The libvirt lab with its origin, up, as something that runs trials."""
    root = await root_image(LIBVIRT_HOST, say=progress.step, meanwhile=progress.waiting)
    progress.step("bringing up the lab: two hosts with libvirt, storage, client, origin")
    wanted, policies = plan.lab.accelerator, plan.chosen_policies()
    up = LibvirtLab.up(
        root, images.host_root, images.boot_over(plan.families), wanted=wanted, policies=policies,
        families=plan.families, stream=plan.lab.stream_family,
    )  # fmt: skip
    async with up as lab, _origin(lab, images):
        yield guest_up(lab, images, progress)


@contextlib.asynccontextmanager
async def fake_trials() -> AsyncIterator[Up]:
    """The fake lab, whose results say so."""
    yield Up(dict(FACTS), lambda loaded: FakeTrials(loaded).run)


@contextlib.asynccontextmanager
async def address_trials(progress: Progress) -> AsyncIterator[Up]:
    """A machine of others, at an address, which a command moves."""
    with tempfile.TemporaryDirectory(prefix="migrascope-observe-") as name:
        yield Up(dict(FACTS_OF_OTHERS), lambda loaded: ObservedTrials(loaded, Path(name), progress.phase).run)
