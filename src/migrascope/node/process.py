"""The one way to run a program: in a namespace, in a root image, with a log, and never outliving us."""

import asyncio
import codecs
import contextlib
import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrascope.model.problem import COMMAND_LINE, Problem
from migrascope.node import sandbox
from migrascope.node.namespace import Namespace
from migrascope.node.paths import CACHE, STATE

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}

_SHOWN = ("/dev", "/proc", "/sys", str(STATE), str(CACHE))
_CHUNK_BYTES = 4096
ONLY = "/srv"
"""Where a program in a root sees the only folder that is shown to it."""


class ProcessError(Problem):
    """A program that could not start, ended unasked, or failed; the message holds the command and its last words."""


@dataclass(frozen=True)
class Where:
    """Where a program runs: namespace None is this machine's network, root None is this machine's files.

    only: the one folder of this machine that it sees in the root, at ONLY; None: the kernel's and Migrascope's own, in
    their places. laid: further folders of this machine, which it may write to, each with where it is seen in the root.
    """

    namespace: Namespace | None = None
    root: Path | None = None
    only: Path | None = None
    laid: tuple[tuple[Path, str], ...] = ()

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that starts argv there."""
        shown = {str(self.only): ONLY} if self.only else {path: path for path in _SHOWN}
        how = {
            "parent": os.getpid(),
            "namespace": str(self.namespace.path) if self.namespace else "",
            "root": str(self.root) if self.root else "",
            "folders": shown | {str(folder): where for folder, where in self.laid},
            "argv": list(argv),
            "environment": _ENVIRONMENT if self.root else None,  # None: its own, which is ours
        }
        return [sys.executable, "-I", "-S", sandbox.__file__, json.dumps(how)]


def tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-lines:])
    except OSError:
        return ""


class Process:
    """A program that runs on. `name` is for people; its output (without a pipe) goes to `log`."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, child: asyncio.subprocess.Process) -> None:
        self.name, self.argv, self.log, self._child = name, list(argv), log, child

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def ended(self) -> bool:
        return self._child.returncode is not None

    def problem(self) -> str:
        """Why it is not running, in words, with the last lines of its log and the command ready to paste."""
        code = self._child.returncode
        how = "runs" if code is None else f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with {code}"
        words = tail(self.log)
        return f"{self.name} {how}" + (f": {words}" if words else "") + f"{COMMAND_LINE}{shlex.join(self.argv)}"

    async def ready(self, timeout_s: float) -> None:
        """Waits for the line "ready" on its standard output. ProcessError if it ends first or takes too long."""
        assert self._child.stdout is not None
        try:
            line = await asyncio.wait_for(self._child.stdout.readline(), timeout_s)
        except TimeoutError:
            raise ProcessError(f"{self.name} was not ready in {timeout_s:g} s") from None
        if line.strip() != b"ready":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._child.wait(), 1)
            raise ProcessError(self.problem())

    async def lines(self) -> AsyncIterator[str]:
        """What it writes on its standard output, by lines, to their end; a carriage return ends a line, too."""
        assert self._child.stdout is not None
        rest = ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while chunk := await self._child.stdout.read(_CHUNK_BYTES):
            *whole, rest = (rest + decoder.decode(chunk)).replace("\r", "\n").split("\n")
            for line in filter(None, whole):
                yield line
        if rest:
            yield rest

    def send_all(self, number: signal.Signals) -> None:
        """Sends a signal to it and to every program that it has started in its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, unless the program has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(number)

    async def wait(self, timeout_s: float | None = None) -> int:
        """Its exit code, negative for a signal. TimeoutError when it goes on."""
        return await asyncio.wait_for(self._child.wait(), timeout_s)

    async def stop(self, timeout_s: float = 3.0) -> None:
        """SIGTERM, and SIGKILL for one that does not end in time."""
        if not self.ended:
            self.send(signal.SIGTERM)
            try:
                await self.wait(timeout_s)
            except TimeoutError:
                await self.kill()

    async def kill(self) -> None:
        """SIGKILL at once."""
        if not self.ended:
            self.send(signal.SIGKILL)
            await self._child.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def _spawn(argv: Sequence[str], where: Where, **streams: Any) -> asyncio.subprocess.Process:
    """A child in a session of its own. One that is being made when we are cancelled is killed: nobody else knows it."""
    making = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*where.command(argv), start_new_session=True, **streams)
    )
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        child = await making
        child.kill()
        await child.wait()
        raise


async def start(
    name: str, argv: Sequence[str], where: Where, log: Path, *, piped: bool = False, merged: bool = False
) -> Process:
    """Starts a program that runs on. piped: its standard output is read by `ready` or `lines`, not logged; merged: its
    errors go the same way."""
    with log.open("ab") as output:
        stdout = asyncio.subprocess.PIPE if piped else output
        errors = asyncio.subprocess.STDOUT if merged else output
        child = await _spawn(argv, where, stdin=asyncio.subprocess.DEVNULL, stdout=stdout, stderr=errors)
    return Process(name, argv, log, child)


@contextlib.asynccontextmanager
async def running(
    name: str, argv: Sequence[str], where: Where, log: Path, *, piped: bool = False
) -> AsyncIterator[Process]:
    """A program for the length of a with block; it is stopped at the end."""
    process = await start(name, argv, where, log, piped=piped)
    try:
        yield process
    finally:
        await process.stop()


async def run(
    name: str, argv: Sequence[str], where: Where, *, timeout_s: float = 60.0, stdin: bytes | None = None
) -> str:
    """Runs a program to its end and gives its standard output. ProcessError with its errors when it fails."""
    pipe = asyncio.subprocess.PIPE
    child = await _spawn(
        argv, where, stdin=asyncio.subprocess.DEVNULL if stdin is None else pipe, stdout=pipe, stderr=pipe
    )
    try:
        output, errors = await asyncio.wait_for(child.communicate(stdin), timeout_s)
    except TimeoutError:
        raise ProcessError(f"{name} took more than {timeout_s:g} s{COMMAND_LINE}{shlex.join(argv)}") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            # Not wait(): it waits for pipes that nobody reads any more.
            await child.communicate()
    if child.returncode != 0:
        words = errors.decode(errors="replace").strip()
        raise ProcessError(f"{name} failed with {child.returncode}: {words}{COMMAND_LINE}{shlex.join(argv)}")
    return output.decode(errors="replace")
