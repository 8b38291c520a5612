"""A guest of the QEMU lab that is left alone, and `observe` where the visitors are, which knows an address alone."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from common import folder
from migrascope.cli.progress import ConsoleProgress
from migrascope.model.plan import Plan
from migrascope.model.schedule import Factors
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where
from migrascope.study.labs.images import prepare
from migrascope.study.labs.labs import qemu_lab
from migrascope.trial.parts import Trial, instance
from migrascope.trial.runtime import MACHINE
from migrascope.trial.setup import arranged


@asynccontextmanager
async def guest_up() -> AsyncIterator[tuple[Trial, dict[str, Any]]]:
    """A trial of which the instance alone is started, and the lab's facts."""
    progress, plan = ConsoleProgress(Console(stderr=True)), Plan()
    images = await prepare(progress.step)
    async with qemu_lab(plan, images, progress) as (lab, up):
        factors = Factors("none", "pre-copy", plan.axes.memory[0], 0.0, 0.0, "warm", vcpus=plan.instance.vcpus)
        trial = Trial(
            plan, MACHINE, lab.client, folder(), lab.folder / "outside", "vm-1", "", True, lambda phase: None, {}, lab,
            factors, "host-a", "host-a", {},
        )  # fmt: skip
        async with arranged(trial, (instance,)):
            yield trial, up.facts


class Observer:
    """`observe ADDRESS ... --json` at `rate` probes a second to each, in the namespace `source`; None: this machine."""

    def __init__(self, source: Namespace | None, address: str, rate: int, *others: str) -> None:
        watch = ["observe", address, *others, "--json", "--rate", str(rate)]
        self.argv = Where(source).command([sys.executable, "-m", "migrascope", *watch])
        self.events: list[dict[str, Any]] = []
        """What it has told so far."""

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(*self.argv, stdout=asyncio.subprocess.PIPE)
        assert self.process.stdout is not None
        self.reading = asyncio.create_task(self._read(self.process.stdout))

    async def _read(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self.events.append(json.loads(line))

    def pids(self) -> list[int]:
        """Its processes: the first one, and those that it started."""
        found = [self.process.pid]
        for pid in found:
            for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(OSError):
                    found += map(int, tasks.read_text().split())
        return found

    async def stop(self) -> list[dict[str, Any]]:
        """Ends it as Ctrl-C does, and returns its events."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        await self.reading
        await self.process.wait()
        return self.events
