"""What every benchmark shares: a run of a plan into a temporary folder, and the machine named above its figures."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from migrascope.cli.progress import ConsoleProgress
from migrascope.model.plan import Plan
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.images import Images, prepare
from migrascope.study.runs.environment import environment
from migrascope.study.runs.run import execute


def machine(facts: dict[str, Any]) -> str:
    """One line that names machine, accelerator and QEMU."""
    here = environment()
    memory = here["memory_bytes"] / 2**30
    return (
        f"{here['cpu']}, {here['cores']} cores, {memory:.0f} GiB, kernel {here['kernel']}; "
        f"QEMU {facts['qemu']}, {facts['accelerator']}"
    )


def folder() -> Path:
    """A new folder for recordings, kept for a look at them."""
    return Path(tempfile.mkdtemp(prefix="migrascope-benchmark-"))


def with_images(work: Callable[[Images, ConsoleProgress], Awaitable[RunFolder]]) -> RunFolder:
    """Runs the work with the images built and progress on standard error."""
    progress = ConsoleProgress(Console(stderr=True))

    async def whole() -> RunFolder:
        return await work(await prepare(progress.step), progress)

    return asyncio.run(whole())


def run_plan(plan: Plan, begun: Callable[[RunFolder], None] = lambda run: None) -> RunFolder:
    """All trials of a plan, without samples unless it asks for them. begun: called with the run's folder as soon as it
    is made."""
    if plan.probes.dirty is None:
        plan = plan.model_copy(update={"probes": plan.probes.model_copy(update={"dirty": False})})
    return with_images(lambda images, progress: execute(plan, folder(), images, progress, begun=begun))


def verdict(met: bool) -> str:
    return "met" if met else "missed"
