"""libvirt's API on a host, through a Python that has its module."""

import asyncio
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from migrascope.model.problem import Problem
from migrascope.node.child import first_line, kill

AGENT = Path(__file__).parent / "files" / "agent.py"
_READY_S = 30.0
_LINE_BYTES = 2**22
_LEAVES_S = 5.0
"""Maximum time for an agent to end that carries nothing out."""
LOCAL = "qemu:///system"
On = tuple[str, str]
"""What a call is about, and its key: "name" or "domain" (UUID), "network", "pool", "volume" (path) or "stored" (a
pool's name, a stroke, a volume's)."""
NONE = "Domain not found"
"""How libvirt's words begin where there is no domain of a name."""


class LibvirtError(Problem):
    """libvirt refused, or is gone; the message names the host and holds libvirt's words."""

    @property
    def words(self) -> str:
        """The message without its host."""
        return str(self).partition(": ")[2]


def version_text(number: int) -> str:
    """libvirt writes 11.3.0 as 11003000."""
    return f"{number // 10**6}.{number // 1000 % 1000}.{number % 1000}"


class Connection:
    """One host's libvirt. versions: its own and QEMU's, as it numbers them. Close it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.versions: dict[str, int] = {}
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def open(
        self, python: Sequence[str], uri: str = LOCAL, *, read_only: bool = False, theirs: bool = False
    ) -> None:
        """python: the command of a Python that has its module, in the host where the URI is LOCAL. theirs: a migration
        that is asked for goes on to its end if this process ends. LibvirtError where libvirt takes no connection in
        30 s."""
        how = ("read" if read_only else "write", "theirs" if theirs else "ours")
        self._child = child = await asyncio.create_subprocess_exec(
            *python, "-c", AGENT.read_text(encoding="utf-8"), uri, *how,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LINE_BYTES, start_new_session=True,
        )  # fmt: skip
        line = await first_line(child, _READY_S)
        answer: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {"error": "libvirt takes no connection"}
        if "error" in answer:
            await self.close()
            raise LibvirtError(f"{self.host}: {answer['error']}")
        self.versions = answer["result"]
        assert child.stdout is not None
        self._reader = asyncio.create_task(self._read(child.stdout))

    async def _read(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"], None)
            if waiting is None or waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(LibvirtError(f"{self.host}: {answer['error']}"))
            else:
                waiting.set_result(answer["result"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(LibvirtError(f"{self.host}: libvirt's client has ended"))
        self._waiting.clear()

    async def call(self, name: str, *args: Any, on: On | None = None, timeout_s: float | None = 20.0) -> Any:
        """What a method of the connection, or of what it is about, gives. timeout_s: None for a call that may take as
        long as it takes. LibvirtError with libvirt's words where it refuses or does not answer in time."""
        if self._child is None or self._reader is None or self._reader.done():
            raise LibvirtError(f"{self.host}: libvirt's client has ended")
        assert self._child.stdin is not None
        number = next(self._numbers)
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        text = json.dumps({"id": number, "on": on, "call": name, "args": args})
        self._child.stdin.write(text.encode() + b"\n")
        try:
            await self._child.stdin.drain()
            return await asyncio.wait_for(waiting, timeout_s)
        except TimeoutError:
            raise LibvirtError(f"{self.host}: {name} had no answer in {timeout_s:g} s") from None
        except ConnectionError as error:
            raise LibvirtError(f"{self.host}: libvirt's client has ended") from error
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """Ends it, whatever became of it; one of theirs ends with the migration that it carries out."""
        if self._child is not None:
            assert self._child.stdin is not None
            self._child.stdin.close()
            await kill(self._child)
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=_LEAVES_S)
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
