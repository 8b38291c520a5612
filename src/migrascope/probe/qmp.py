"""Events and status of the QEMUs: tables qmp_event and qmp_status, one spool of each for every host.

Config: hosts ({host: path of a QMP socket of its own for this probe}), interval_s (0: events only). On a monotonic
grid each QEMU is asked for query-status and query-migrate. One that is not there or does not answer in time leaves an
empty answer and is connected to anew; the others are not held up by it.
"""

import asyncio
import json
import logging
import time
from contextlib import AsyncExitStack, suppress

from qemu.qmp import EventListener, ExecuteError, Message, QMPClient, QMPError

from migrascope.node.program import Program
from migrascope.store.spool import Spool

COMMANDS = ("query-status", "query-migrate")
TIMEOUT_S = 1.0


def event_row(message: Message, recv_ns: int) -> tuple[str, int, int, str]:
    """A row of qmp_event. QEMU stamps in seconds and microseconds; -1 seconds where it could not."""
    stamp = message["timestamp"]
    assert isinstance(stamp, dict)
    wall = stamp["seconds"] * 10**9 + stamp["microseconds"] * 1000 if stamp["seconds"] >= 0 else 0
    return str(message["event"]), wall, recv_ns, json.dumps(message.get("data", {}))


class Recorder(EventListener):
    """Records every event when it is read, rather than when a task gets round to it."""

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self._spool = spool

    async def put(self, event: Message) -> None:
        self._spool.add(*event_row(event, time.monotonic_ns()))
        self._spool.flush()


class Monitor:
    """One QEMU's monitor: recorded while it is there."""

    def __init__(self, socket: str, events: Spool, status: Spool) -> None:
        self._socket, self._events, self._status = socket, events, status
        self._client: QMPClient | None = None

    async def connect(self) -> bool:
        """Whether there is a connection now; tries once, at most TIMEOUT_S, to make one that is missing."""
        if self._client is not None:
            return True
        client = QMPClient()
        client.register_listener(Recorder(self._events))
        try:
            await asyncio.wait_for(client.connect(self._socket), TIMEOUT_S)
        except (QMPError, OSError, TimeoutError):
            return False
        self._client = client
        return True

    async def ask(self, command: str) -> None:
        """One row of qmp_status; an empty answer, with answered_ns 0, where none came within TIMEOUT_S."""
        asked, answer, answered = time.monotonic_ns(), "", 0
        if await self.connect():
            assert self._client is not None
            try:
                answer = json.dumps(await asyncio.wait_for(self._client.execute(command), TIMEOUT_S))
                answered = time.monotonic_ns()
            except (TimeoutError, ExecuteError):
                pass  # a monitor that hangs or refuses may come round: its events are still wanted
            except (QMPError, OSError):
                await self.disconnect()
        self._status.add(asked, answered, command, answer)

    async def disconnect(self) -> None:
        """Forgets the connection, whatever became of it."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(QMPError, OSError, EOFError, TimeoutError):
                await asyncio.wait_for(client.disconnect(), TIMEOUT_S)


async def main(program: Program) -> None:
    logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())
    logging.getLogger("qemu.qmp").propagate = False  # that a QEMU goes away is a fact to record, not an error here
    async with AsyncExitStack() as stack:
        monitors = []
        for host, socket in program.config["hosts"].items():
            given = {"source": f"qmp-{host}", "host": host}
            events = stack.enter_context(program.spool("qmp_event", **given))
            status = stack.enter_context(program.spool("qmp_status", **given))
            monitors.append(Monitor(socket, events, status))
            stack.push_async_callback(monitors[-1].disconnect)
        await asyncio.gather(*(monitor.connect() for monitor in monitors))
        program.ready()
        if program.config["interval_s"]:
            await asyncio.gather(*(_poll(program, monitor) for monitor in monitors))
        await program.ended()


async def _poll(program: Program, monitor: Monitor) -> None:
    async for _ in program.grid(program.config["interval_s"]):
        for command in COMMANDS:
            await monitor.ask(command)


if __name__ == "__main__":
    Program.from_argv().run(main)
