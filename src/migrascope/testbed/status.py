"""What a testbed is like now: nodes, services, Ceph."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrascope.model.problem import Problem
from migrascope.node.container import Container, members
from migrascope.testbed.settings import CONTROLLER, JOINED, address
from migrascope.testbed.task import Task, Units


@dataclass(frozen=True)
class NodeStatus:
    """One node. memory_bytes: what its processes hold, shared pages divided among those that share them (PSS)."""

    name: str
    up: bool
    address: str
    memory_bytes: int


@dataclass(frozen=True)
class Service:
    """A unit of a node's systemd; state is systemd's: active, failed, activating, inactive, or down with its node."""

    node: str
    name: str
    state: str
    version: str


@dataclass(frozen=True)
class Ceph:
    """health as `ceph health` says it, "unknown" when nobody answers."""

    health: str = "unknown"
    osds_up: int = 0


@dataclass(frozen=True)
class Status:
    """The whole. cut: "NODE NETWORK" of each link that is cut; rates_bps: what each node may send on a link that has
    a limit."""

    nodes: list[NodeStatus] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    ceph: Ceph = Ceph()
    cut: list[str] = field(default_factory=list)
    rates_bps: dict[str, float] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether every node and service is up, Ceph is well, and nothing is cut."""
        services = bool(self.services) and all(service.state == "active" for service in self.services)
        return services and all(node.up for node in self.nodes) and self.ceph.health == "HEALTH_OK" and not self.cut


def memory_bytes(pid: int) -> int:
    """The proportional memory (PSS) of all processes of the node whose PID 1 this is."""
    total = 0
    for member in members(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{member}/smaps_rollup").read_text(encoding="utf-8").splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


async def look(nodes: dict[str, Container], tasks: list[Task], cut: list[str], rates_bps: dict[str, float]) -> Status:
    """The state of everything; what does not answer is down or unknown, never an error."""
    found = [_node(name, node) for name, node in nodes.items()]
    services = await asyncio.gather(*(_services(name, node, tasks) for name, node in nodes.items()))
    services_found = [each for some in services for each in some]
    return Status(found, services_found, await ceph(nodes[CONTROLLER]), cut, rates_bps)


def _node(name: str, node: Container) -> NodeStatus:
    pid = node.pid()
    where = address(name, next(link for link, joined in JOINED.items() if name in joined))
    return NodeStatus(name, pid is not None, where, memory_bytes(pid) if pid is not None else 0)


async def _services(name: str, node: Container, tasks: list[Task]) -> list[Service]:
    started = {
        unit: None
        for task in tasks
        for action in task.actions
        if task.node == name and isinstance(action, Units)
        for unit in action.start
    }
    units = [unit if "." in unit else f"{unit}.service" for unit in started if not unit.endswith(".socket")]
    try:
        said = await node.run(["systemctl", "show", "--property=Names,ActiveState,FragmentPath", *units], timeout_s=20)
        blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in said.strip().split("\n\n")]
        versions = await _versions(node, [block.get("FragmentPath", "") for block in blocks])
    except Problem:
        return [Service(name, unit.removesuffix(".service"), "down", "") for unit in units]
    return [
        Service(name, unit.removesuffix(".service"), block["ActiveState"], versions.get(block["FragmentPath"], ""))
        for unit, block in zip(units, blocks, strict=True)
    ]


async def _versions(node: Container, paths: list[str]) -> dict[str, str]:
    """The version of the package that each unit's file comes from."""
    said = await node.run(["sh", "-c", 'dpkg -S "$@" 2>/dev/null || true', "dpkg", *filter(None, paths)])
    owners = {path: package.split(",")[0] for package, path in (line.split(": ", 1) for line in said.splitlines())}
    if not owners:
        return {}
    packages = sorted(set(owners.values()))
    said = await node.run(["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *packages])
    versions = dict(line.split(" ", 1) for line in said.splitlines())
    return {path: versions.get(package.split(":")[0], "") for path, package in owners.items()}


async def ceph(node: Container) -> Ceph:
    """Ceph's health, asked in the node."""
    try:
        said: Any = json.loads(await node.run(["ceph", "--connect-timeout=5", "status", "--format=json"], timeout_s=15))
        return Ceph(said["health"]["status"], said["osdmap"]["num_up_osds"])
    except (Problem, ValueError, KeyError):
        return Ceph()
