"""QEMU's monitor (QMP) with a timeout on every call."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, Message, QMPClient
from qemu.qmp.error import QMPError

from migrascope.model.clock import clock_pair
from migrascope.model.problem import Problem


class MonitorError(Problem):
    """A QEMU that did not answer, or refused; the message names the command and QEMU's words."""


class _Told(EventListener):
    """Passes every event on when it is read, rather than when a task gets round to it."""

    def __init__(self, see: Callable[[str, dict[str, Any], int], None]) -> None:
        super().__init__()
        self._see = see

    async def put(self, event: Message) -> None:
        stamp: Any = event["timestamp"]
        mono, wall = clock_pair()
        happened = stamp["seconds"] * 10**9 + stamp["microseconds"] * 1000 if stamp["seconds"] >= 0 else wall
        data: Any = event.get("data", {})
        self._see(str(event["event"]), data, mono - (wall - happened))


class Monitor:
    """One connection to one QEMU."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._client = QMPClient(host)

    @classmethod
    @asynccontextmanager
    async def connected(cls, host: str, path: Path) -> AsyncIterator["Monitor"]:
        """A monitor for the length of a with block. MonitorError when it cannot be reached within 5 s."""
        monitor = cls(host)
        await monitor.connect(path)
        try:
            yield monitor
        finally:
            await monitor.close()

    async def connect(self, path: Path) -> None:
        try:
            await asyncio.wait_for(self._client.connect(str(path)), 5)
        except (QMPError, OSError, TimeoutError) as error:
            raise MonitorError(f"{self.host}: no monitor at {path}: {error}") from error

    async def execute(
        self, command: str, arguments: dict[str, Any] | None = None, timeout_s: float = 5.0, *, oob: bool = False
    ) -> Any:
        """QEMU's answer. oob: even while its main loop is held up. MonitorError when it refuses, is gone, or does not
        answer in time."""
        try:
            return await asyncio.wait_for(self._client.execute(command, arguments, oob=oob), timeout_s)
        except TimeoutError:
            raise MonitorError(f"{self.host}: {command} had no answer in {timeout_s:g} s") from None
        except (QMPError, OSError) as error:
            raise MonitorError(f"{self.host}: {command}: {error}") from error

    def events(self, *names: str) -> Any:
        """A context manager whose listener yields QEMU's events of these names, from now on."""
        return self._client.listener(names=names)

    def listen(self, see: Callable[[str, dict[str, Any], int], None]) -> None:
        """Tells each event from now on: its name, its data, and when it happened (monotonic ns, by QEMU's stamp)."""
        self._client.register_listener(_Told(see))

    async def close(self) -> None:
        """Ends the connection; a QEMU that is gone is no error."""
        try:
            await asyncio.wait_for(self._client.disconnect(), 2)
        except (QMPError, OSError, TimeoutError, EOFError):
            return


__all__ = ["EventListener", "Monitor", "MonitorError"]
