"""A recovery of Ceph that runs while the instance migrates: an OSD was away, and has to catch up."""

import json
from pathlib import Path
from typing import Any

from migrascope.lab.injectors.controlled_process import ControlledProcess
from migrascope.lab.testbed.injectors.services import start, unit_of
from migrascope.lab.testbed.nodes import UNITS
from migrascope.model.units import human
from migrascope.node import nsenter
from migrascope.node.container import Container
from migrascope.node.namespace import Namespace

SCRIPT = Path(__file__).parents[1] / "files" / "recovery.py"
NAMESPACE = "migrascope"
"""The namespace of the volumes' pool in which load on Ceph has its objects."""
_READY_S, _DOWN_S, _UP_S, _GO_S = 30.0, 600.0, 120.0, 30.0
_UNDO_S = 120.0


def on_node(node: Namespace, script: Path, *words: str) -> tuple[str, ...]:
    """The command line of a script on a node's own Python."""
    python = ("setpriv", "--pdeathsig", "KILL", "python3", "-c", script.read_text(encoding="utf-8"))
    return nsenter.command(node, (*python, *words))


class Recovery:
    """node: whose OSD has fallen behind; monitor: where the node is that may ask Ceph; size: bytes to catch up with.

    While recovery is forbidden the OSD is stopped, objects are written, and it is started again: it lacks them, and
    gets none before it is let go. What the instance writes in that time it lacks too; Ceph recovers such an object at
    once when it is written to again.
    """

    def __init__(self, node: Container, monitor: Namespace, size: int, log: Path) -> None:
        self._node, self._monitor, self._size, self._log = node, monitor, size, log
        self._program: ControlledProcess | None = None
        self._unit = ""

    async def arm(self) -> None:
        """Returns when the OSD is up and lacks all of it. Problem where there is no OSD, or Ceph does not answer."""
        unit = await unit_of(self._node, UNITS["ceph-osd"][0])
        number = unit.removeprefix("ceph-osd@").removesuffix(".service")
        argv = on_node(self._monitor, SCRIPT, "behind", NAMESPACE, number, str(self._size))
        self._program = ControlledProcess("ceph-recovery", argv, self._log)
        await self._program.begin(_READY_S)
        self._unit = unit
        await self._node.run(["systemctl", "stop", unit])
        await self._program.ask("down", _DOWN_S)
        await start(self._node, [unit])
        await self._program.ask("up", _UP_S)

    async def apply(self) -> str:
        """Returns when the first object has been recovered."""
        assert self._program is not None
        return f"{self._node.name} lacked {await self._program.ask('go', _GO_S)} objects"

    async def heal(self) -> str | None:
        """How far the recovery had come."""
        if self._unit:
            await start(self._node, [self._unit])
            self._unit = ""
        said = await self._program.end() if self._program is not None else ""
        return recovered(json.loads(said)) if said.startswith("{") else None


def recovered(found: dict[str, Any]) -> str:
    """What recovery.py has seen, in words."""
    words = f"{human(found['bytes'], 'B')} recovered in {human(found['seconds'], 's')}"
    if found["done"]:
        return f"{words}: all of it"
    return f"{words}: {found['objects']} of {found['behind']} objects when it was taken back"


async def whole(monitor: Container, limit_s: float) -> list[str]:
    """Takes back what is left of load on Ceph and its recoveries, and waits until it has all copies of everything; says
    what it took back, and how long it waited. Problem where that is too long."""
    argv, script = ["python3", "-", "whole", NAMESPACE, str(limit_s)], SCRIPT.read_text(encoding="utf-8")
    return (await monitor.run(argv, stdin=script, timeout_s=limit_s + _UNDO_S)).splitlines()
