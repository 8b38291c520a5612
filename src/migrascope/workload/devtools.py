"""Chromium without a window, driven by its DevTools over a pipe: no port is open, and with the pipe's end it ends."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from migrascope.node.nobody import USER, as_nobody

LIMIT_S = 15.0
"""Maximum time that an answer takes: a browser that starts beside two guests on two cores is slow."""
_END_S = 1.5
_LONGEST = 1 << 24
_NAMES = ("chromium", "chromium-browser")
_FLAGS = (
    "--headless", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-extensions", "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--disable-dev-shm-usage", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
    # its sandbox needs what a container often forbids; it shows our own page, as nobody, in the visitors' namespace
    "--no-sandbox",
)  # fmt: skip
# it reads its commands from 3 and answers on 4
_PLUMBING = 'exec "$@" 3<&0 4>&1 </dev/null >&2'
_PRIVATE = "/mnt"
"""What every machine has, and no browser needs."""
_MOUNT = f'mount -t tmpfs -o size=1g,mode=0700,uid={USER},gid={USER} tmpfs {_PRIVATE} && exec "$@"'

Message = dict[str, Any]


class DevtoolsError(RuntimeError):
    """A browser that does not start, ended unasked, or refused; the message is for people."""


def chromium() -> str | None:
    """The path of the distribution's Chromium; None where it is not installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Devtools:
    """A running browser. heard: takes each event that it sends unasked."""

    def __init__(self, child: asyncio.subprocess.Process, heard: Callable[[Message], None]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._child, self._heard = child, heard
        self._to, self._from = child.stdin, child.stdout
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}

    @property
    def pid(self) -> int:
        return self._child.pid

    async def ask(self, method: str, session: str = "", **params: Any) -> Message:
        """The answer to a command, while somebody listens. session: of the page that it is for, else the browser's.
        DevtoolsError where there is none in time, or it is refused."""
        number = next(self._numbers)
        message: Message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._to.write(json.dumps(message).encode() + b"\0")
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await self._waiting[number]
        except TimeoutError:
            raise DevtoolsError(f"Chromium did not answer {method} within {LIMIT_S:g} s") from None
        finally:
            del self._waiting[number]
        if "error" in answer:
            raise DevtoolsError(f"Chromium refused {method}: {answer['error'].get('message')}")
        result: Message = answer["result"]
        return result

    async def listen(self) -> None:
        """Hands out what it says until it ends: DevtoolsError."""
        while True:
            try:
                message: Message = json.loads((await self._from.readuntil(b"\0"))[:-1])
            except (asyncio.IncompleteReadError, ConnectionError):
                raise DevtoolsError("Chromium ended unasked") from None
            if (waiting := self._waiting.get(message.get("id", 0))) is not None:
                if not waiting.done():
                    waiting.set_result(message)
            elif "method" in message:
                self._heard(message)

    async def end(self) -> None:
        """The pipe's end is the browser's; SIGKILL for one that does not heed it."""
        self._to.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._child.wait(), _END_S)
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()
        await self._child.wait()


@contextlib.asynccontextmanager
async def browser(program: str, heard: Callable[[Message], None]) -> AsyncIterator[Devtools]:
    """A browser with a profile of its own for the length of a with block: as nobody, where we are root."""
    with _profile() as (profile, inside):
        argv = inside([program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"])
        child = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _PLUMBING, "sh", *argv,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": profile, "TMPDIR": profile}, limit=_LONGEST,
        )  # fmt: skip
        made = Devtools(child, heard)
        try:
            yield made
        finally:
            await made.end()


@contextlib.contextmanager
def _profile() -> Iterator[tuple[str, Callable[[list[str]], list[str]]]]:
    """The folder of a profile as the browser sees it, and what makes a command line one that runs with it.

    For root it is a file system in memory that only the browser sees: it goes with the browser, however that ends."""
    if os.geteuid() == 0:
        yield _PRIVATE, lambda argv: ["unshare", "--mount", "--", "/bin/sh", "-c", _MOUNT, "sh", *as_nobody(argv)]
        return
    with tempfile.TemporaryDirectory(prefix="migrascope-browser-", ignore_cleanup_errors=True) as profile:
        yield profile, lambda argv: argv
