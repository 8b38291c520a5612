"""A testbed under a run: what of it is reached, set and read, and how it is repaired after a failure."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.lab.offline import OfflineVolume, examine
from migrascope.lab.openstack.access import CloudAccess, Host
from migrascope.lab.openstack.policy import settings
from migrascope.lab.testbed import life
from migrascope.lab.testbed.injectors import recovery
from migrascope.lab.testbed.nodes import START, UNITS, Nodes
from migrascope.model.name import FOREIGN, named
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors
from migrascope.node import nsenter
from migrascope.node.process import Where
from migrascope.store.removal import remove_tree
from migrascope.testbed.settings import CONTROLLER, address
from migrascope.testbed.status import Status
from migrascope.testbed.testbed import Testbed
from migrascope.testbed.volume import export

_START_S = 180.0
_WHOLE_S = 120.0
_DOWNTIME_FLOOR_S = 0.1
"""Nova's least live_migration_downtime."""
_PYTHON = ("setpriv", "--pdeathsig", "KILL", "python3")
_START = 'systemctl reset-failed "$1" 2>/dev/null; systemctl start "$1" && echo "start $1"'

# A socket of a service that runs already cannot be started.
_LISTEN = f"""
for unit in "$@"; do systemctl is-active --quiet "$unit" || lost=1; done
[ -n "$lost" ] || exit 0
systemctl stop "$@"; echo "start $1 and its sockets"; {START}
"""


class TestbedControl(CloudAccess):
    """All of a testbed that a lab reaches, and how it is repaired. host_root: the root image in which a volume is
    examined; plan: whose settings it gets; say: told of what takes long."""

    def __init__(self, testbed: Testbed, host_root: Path, plan: Plan, say: Callable[[str], None]) -> None:
        topology = testbed.topology
        hosts = {
            name: Host("qemu:///system", nsenter.command(topology.namespaces[name], _PYTHON), topology.namespaces[name])
            for name in testbed.nodes
        }
        links = topology.links.values()
        ports = {port.port: (link.name, node) for link in links for node, port in link.ports.items()}
        super().__init__(
            hosts, topology.namespaces["client"], address("origin", "external"), plan.chosen_policies(),
            fabric=topology.fabric, ports=ports, ceph=hosts[CONTROLLER].python,
        )  # fmt: skip
        lab_links = LabLinks(topology.fabric, topology.links, topology.namespaces)
        in_switch = testbed.settings.network == "agents" and testbed.settings.datapath == "netdev"
        self.nodes = Nodes(lab_links, testbed.nodes, CONTROLLER, address, in_switch)
        self._testbed, self._host_root, self._say = testbed, host_root, say
        self._max_concurrent = plan.fleet.max_concurrent

    async def ready(self) -> None:
        await self.repair()
        await self.replicated()

    async def configure(self, factors: Factors) -> dict[str, Any]:
        testbed, topology = self._testbed, self._testbed.topology
        topology.set_rate("migration", factors.link_bps)
        limit_ms = round(1000 * max(_DOWNTIME_FLOOR_S, factors.downtime_limit_s))
        wanted = {"downtime_ms": limit_ms, "max_concurrent": self._max_concurrent}
        await life.set_migration(testbed, settings(self.policies[factors.policy]) | wanted)
        nova = vars(testbed.settings.migration)
        rates = {name: link.rate_bps for name, link in topology.links.items()}
        return {"nova": dict(nova), "links": rates, "floating_ips": testbed.settings.floating_ips}

    async def volume(self, name: str) -> OfflineVolume:
        """Reads a volume that nobody uses any more, by its id."""
        folder = self._testbed.folder / f"offline-{named('volume', name, FOREIGN)}"
        folder.mkdir()
        try:
            await export(self._testbed, name, folder / "disk")
            return await examine(folder / "disk", Where(None, self._host_root), folder)
        finally:
            remove_tree(folder, self._testbed.folder)

    async def boot(self, node: str) -> None:
        """Boots a node that is off and starts its services."""
        await life.start_node(self._testbed, node, _silent)

    async def repair(self) -> list[str]:
        """Opens links that are cut, boots nodes that are off, starts services that are not active; says what it did."""
        testbed, did = self._testbed, []
        for cut in testbed.cuts():
            testbed.cut(*cut.split(), cut=False)
            did.append(f"open {cut}")
        for name, node in testbed.nodes.items():
            if node.pid() is None:
                await self.boot(name)
                did.append(f"boot {name}")
            did += [f"{line} on {name}" for line in await self._run(name, _LISTEN, *UNITS["libvirt"])]
        found = await life.status(testbed)
        for unit, where in _down(found):
            did += [f"{line} on {where}" for line in await self._run(where, _START, unit)]
        return did

    async def replicated(self) -> list[str]:
        """Takes back load on Ceph, waits until it has all copies, and says so. Problem where that takes too long."""
        return await recovery.whole(self._testbed.nodes[CONTROLLER], _WHOLE_S)

    async def _run(self, node: str, script: str, *units: str) -> list[str]:
        """The lines that a script prints on a node; what it could not do is one."""
        try:
            said = await self._testbed.nodes[node].run(["sh", "-c", script, "sh", *units], timeout_s=_START_S)
        except Problem as problem:
            return [f"{units[0]} does not start ({str(problem).splitlines()[0]})"]
        return said.splitlines()

    async def rebuild(self) -> None:
        """Makes it anew: its nodes' disks from the snapshot, in the same networks. Problem where that fails."""
        self._say("the testbed is made anew")
        self._testbed.done.unlink(missing_ok=True)
        found = await life.up(self._testbed, "auto", _silent, _silent)
        if not found.healthy:
            raise Problem(f"the testbed {self._testbed.name} is not well even when it is made anew")


def _down(found: Status) -> list[tuple[str, str]]:
    """(service, node) of what is neither active nor about to be."""
    return [(service.name, service.node) for service in found.services if service.state not in ("active", "activating")]


def _silent(text: str) -> None:
    """Nobody wants to know each step."""
