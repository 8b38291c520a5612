"""The verbs and how they end.

0 ok, 1 a check failed, 2 usage or plan error, 3 inconclusive, 4 the lab or a migration could not be carried out,
70 internal error, 130 interrupted.
"""

import asyncio
import signal
import sys
import tempfile
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from migrascope import __version__
from migrascope.lab.qemu.monitor import MonitorError
from migrascope.node.image import ImageError
from migrascope.node.process import ProcessError
from migrascope.store.runfolder import RunError, RunUnwritable
from migrascope.study.plans import PlanError

EXIT_USAGE, EXIT_LAB, EXIT_BUG, EXIT_INTERRUPTED = 2, 4, 70, 130

app = cyclopts.App(
    name="migrascope",
    help="What a live migration costs, on every layer: run it, measure it, explain it.",
    version=__version__,
    version_flags=["--version"],
)
Runs = Annotated[Path, Parameter(name="--runs", help="The folder of the run folders.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="JSON on standard output.")]


def stdout() -> Console:
    """Where the result goes."""
    return Console(highlight=False)


def stderr() -> Console:
    """Where progress and errors go."""
    return Console(stderr=True, highlight=False)


class LabUnavailable(Exception):
    """What this machine lacks for a lab; the message ends with the next command."""


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


def main() -> None:
    """The entry point of the command `migrascope`."""
    errors = stderr()
    try:
        code = app(sys.argv[1:], print_error=True, exit_on_error=True, result_action="return_value")
        sys.exit(code if isinstance(code, int) else 0)
    except RunUnwritable as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(EXIT_LAB)
    except (PlanError, RunError) as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        sys.exit(EXIT_USAGE)
    except (LabUnavailable, ImageError, ProcessError, MonitorError, OSError) as error:
        errors.print(f"migrascope: {error}", markup=False, soft_wrap=True)
        sys.exit(EXIT_LAB)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="migrascope-", suffix=".txt", delete=False) as file:
            traceback.print_exc(file=file)
        errors.print(f"migrascope: internal error: {error!r}; details in {file.name}", markup=False, soft_wrap=True)
        sys.exit(EXIT_BUG)
