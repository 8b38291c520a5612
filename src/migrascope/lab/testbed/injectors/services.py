"""A service of OpenStack that dies, once or for a while, or hangs."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from migrascope.lab.testbed.nodes import START
from migrascope.model.problem import Problem
from migrascope.node.container import Container, members

# A unit that is not loaded has no failed state to forget.
_START = 'systemctl reset-failed "$@" 2>/dev/null; ' + START


class Service:
    """SIGKILL to the main process of a unit, from outside the node. stay: then it is kept down until it is healed."""

    def __init__(self, node: Container, units: Sequence[str], *, stay: bool) -> None:
        self._node, self._units, self._stay = node, list(units), stay
        self._pid = 0
        self._stopping: asyncio.Task[str] | None = None

    async def arm(self) -> None:
        """Finds the process. Problem where the service does not run."""
        self._units[0] = await unit_of(self._node, self._units[0])
        self._pid = await _main_process(self._node, self._units[0])

    async def apply(self) -> str:
        """It is gone at once; that it stays so takes systemd up to a second more on a busy machine."""
        os.kill(self._pid, signal.SIGKILL)
        if self._stay:
            self._stopping = asyncio.ensure_future(self._node.run(["systemctl", "stop", *self._units]))
        return ""

    async def heal(self) -> None:
        """Starts it where it is not up; a node that is down is started with its services by others."""
        stopping, self._stopping = self._stopping, None
        try:
            if stopping is not None:
                await stopping
        finally:
            if self._pid and self._node.pid() is not None:
                await start(self._node, self._units)


class ServiceHangs:
    """SIGSTOP to every process of a unit, from outside the node, and SIGCONT."""

    def __init__(self, node: Container, units: Sequence[str]) -> None:
        self._node, self._unit = node, units[0]
        self._pids: list[int] = []
        self._hangs = False

    async def arm(self) -> None:
        """Finds its processes. Problem where the service does not run."""
        main = await _main_process(self._node, await unit_of(self._node, self._unit))
        group = _cgroup(main)
        self._pids = [pid for pid in members(self._node.pid() or 0) if _cgroup(pid) == group]

    async def apply(self) -> str:
        self._hangs = True
        self._tell(signal.SIGSTOP)
        return ""

    async def heal(self) -> None:
        if self._hangs:
            self._tell(signal.SIGCONT)
            self._hangs = False

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):  # such as a child that it waited for
                os.kill(pid, number)


async def _main_process(node: Container, unit: str) -> int:
    """The number on this machine of a unit's main process. Problem where it does not run."""
    said = await node.run(["systemctl", "show", "--property=MainPID", "--value", unit])
    inner = int(said.split()[0])
    found = [pid for pid in members(node.pid() or 0) if number_inside(pid) == inner]
    if not inner or not found:
        raise Problem(f"{unit} does not run on {node.name}")
    return found[0]


def _cgroup(pid: int) -> str:
    """The control groups of a process; "" when it is gone."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as groups:
            return groups.read()
    except OSError:
        return ""


async def unit_of(node: Container, pattern: str) -> str:
    """The unit of a node that a pattern means, or the one that it names. Problem where none fits the pattern."""
    if "*" not in pattern:
        return pattern
    listed = await node.run(["systemctl", "list-units", "--plain", "--no-legend", pattern])
    if not listed.strip():
        raise Problem(f"{pattern} does not run on {node.name}")
    return listed.split()[0]


async def start(node: Container, units: Sequence[str]) -> None:
    """Starts units, however often that has been done lately."""
    await node.run(["sh", "-c", _START, "sh", *units], timeout_s=120)


def number_inside(pid: int) -> int:
    """The number that a process has in its own node; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as status:
            return next(int(line.split()[-1]) for line in status if line.startswith("NSpid:"))
    except (OSError, StopIteration):
        return 0
