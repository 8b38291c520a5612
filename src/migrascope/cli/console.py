"""What the verbs share: where they print, the options that several have, and how they end when interrupted."""

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

Runs = Annotated[Path, Parameter(name="--runs", help="The folder of the run folders.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="JSON on standard output.")]
CloudName = Annotated[str | None, Parameter(name="--cloud", help="A cloud in clouds.yaml.")]
TestbedName = Annotated[str | None, Parameter(name="--testbed", help="The cloud of the testbed of this name.")]
EXIT_INTERRUPTED = 130


def stdout() -> Console:
    """Where the result goes."""
    return Console(highlight=False)


def stderr() -> Console:
    """Where progress and errors go."""
    return Console(stderr=True, highlight=False)


def interruptible(work: Coroutine[Any, Any, int]) -> int:
    """Runs to the end, or takes everything down at SIGINT and SIGTERM and gives 130."""

    async def wrapped() -> int:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await work

    try:
        return asyncio.run(wrapped())
    except asyncio.CancelledError:
        return EXIT_INTERRUPTED
