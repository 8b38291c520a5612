"""A program that is told what to do by its standard input, a word a line, and answers each with a line of its own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from migrascope.model.problem import Problem
from migrascope.node.child import kill
from migrascope.node.process import tail

_END_S = 120.0


class ControlledProcess:
    """It begins by saying "ready", and ends with its standard input, after a last line. Its complaints go to the log.

    It may have to tidy up: only one that does not end in time is killed. When we are killed, its input ends too.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        self._name, self._argv, self._log = name, argv, log
        self._child: asyncio.subprocess.Process | None = None

    async def begin(self, timeout_s: float) -> None:
        """Returns when it is ready. Problem, with its last words, where it is not."""
        with self._log.open("ab") as log:
            making = asyncio.ensure_future(
                asyncio.create_subprocess_exec(
                    *self._argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                    start_new_session=True,
                )
            )  # fmt: skip
            try:
                self._child = await asyncio.shield(making)
            except asyncio.CancelledError:
                self._child = await making
                raise
        await self._line(timeout_s)

    async def ask(self, word: str, timeout_s: float) -> str:
        """Its answer to a word. Problem where there is none in time."""
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(f"{word}\n".encode())
        await self._child.stdin.drain()
        return await self._line(timeout_s)

    async def _line(self, timeout_s: float) -> str:
        assert self._child is not None
        assert self._child.stdout is not None
        try:
            line = await asyncio.wait_for(self._child.stdout.readline(), timeout_s)
        except TimeoutError:
            raise Problem(f"{self._name} did not answer in {timeout_s:g} s") from None
        if not line.endswith(b"\n"):
            raise Problem(f"{self._name} ended: {tail(self._log)}")
        return line.decode().strip()

    async def end(self) -> str:
        """Its last line, "" where it has never begun or has ended before. Problem where it fails."""
        child = self._child
        if child is None:
            return ""
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        try:
            said = await asyncio.wait_for(child.stdout.read(), _END_S)
            code = await asyncio.wait_for(child.wait(), _END_S)
        except TimeoutError:
            await kill(child)
            raise Problem(f"{self._name} did not end in {_END_S:g} s, and was killed") from None
        finally:
            if child.returncode is not None:
                self._child = None
        if code:
            raise Problem(f"{self._name} failed: {tail(self._log)}")
        return said.decode().strip().rpartition("\n")[2]
