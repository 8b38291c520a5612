"""Post-copy that has lost its link, taken up again as an operator would: paused on both sides, then resumed.

QEMU: docs/devel/migration/postcopy.rst (migrate-pause, migrate-recover, migrate with resume).
"""

import asyncio
import contextlib
import socket
import time
from typing import Any

from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.monitor import MonitorError
from migrascope.model.family import host_of
from migrascope.node.namespace import Namespace
from migrascope.node.wait import WaitTimeout, wait_until

STUCK_S = 2.0
_FIRST_PORT = 4445
_NOBODY, _ASK_S = 9, 0.5
_FINISH_S = 30.0


class Recovery:
    """What an operator does about one migration whose guest already runs on the destination."""

    def __init__(self, instance: Instance, destination: str, source_network: Namespace) -> None:
        self._instance, self._destination, self._network = instance, destination, source_network
        self._to = instance.topology.stream_address(destination)
        self._moved, self._moved_at = -1, 0.0
        self._ports = iter(range(_FIRST_PORT, 65536))
        self._uri = ""

    async def step(self, answer: dict[str, Any], now_s: float) -> None:
        """Does what there is to do now. answer: the source's query-migrate."""
        status = answer.get("status")
        if status == "postcopy-active" and self._stuck(answer, now_s):
            await self._pause()
        elif status == "postcopy-paused":
            await self._resume()

    async def finish(self) -> None:
        """Goes on with a migration that was given up but has left its guest between two hosts, for 30 s at most."""
        source = self._instance.monitors[self._instance.host]

        async def over() -> bool:
            answer = await source.execute("query-migrate")
            await self.step(answer, time.monotonic())
            return not str(answer.get("status")).startswith("postcopy")

        with contextlib.suppress(WaitTimeout, MonitorError):
            await wait_until(over, _FINISH_S, "the migration is over")

    def _stuck(self, answer: dict[str, Any], now_s: float) -> bool:
        """Whether nothing has moved for two seconds."""
        moved = answer.get("ram", {}).get("transferred", 0)
        if moved != self._moved:
            self._moved, self._moved_at = moved, now_s
        return now_s - self._moved_at >= STUCK_S

    async def _pause(self) -> None:
        """Breaks the stream off on both sides: only a paused migration can be resumed."""
        for host in (self._instance.host, self._destination):
            with contextlib.suppress(MonitorError):  # the side that has noticed by itself
                await self._instance.monitors[host].execute("migrate-pause", oob=True)
        self._moved = -1
        self._instance.steps.append("migrate-pause on both hosts")

    async def _resume(self) -> None:
        """Takes it up again over a new connection, if the destination can be reached and both sides are ready."""
        if not await asyncio.to_thread(self._network.call, self._reached):
            return
        source, destination = (self._instance.monitors[host] for host in (self._instance.host, self._destination))
        uri = f"tcp:{host_of(self._to)}:{next(self._ports)}"
        with contextlib.suppress(MonitorError):  # it listens already, or has not noticed yet
            await destination.execute("migrate-recover", {"uri": uri}, oob=True)
            self._uri = uri
        with contextlib.suppress(MonitorError):  # it is on its way, or cannot be yet: it is asked again
            await source.execute("migrate", {"uri": self._uri, "resume": True})
            self._moved = -1
            self._instance.steps.append(f"migrate-recover on {destination.host}, migrate with resume on {source.host}")

    def _reached(self) -> bool:
        """Whether the destination answers at all: that nobody listens is an answer."""
        family = socket.AF_INET6 if ":" in self._to else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(_ASK_S)
            asking.connect((self._to, _NOBODY))
            asking.send(b"")
            try:
                asking.recv(1)
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
            return True
