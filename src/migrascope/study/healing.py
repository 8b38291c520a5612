"""A testbed made well again after a failure: mended part by part, or made anew from its snapshot."""

from collections.abc import Callable

from migrascope.lab.openstack.injectors import recovery
from migrascope.lab.openstack.parts import START, UNITS
from migrascope.model.problem import Problem
from migrascope.study import testbeds
from migrascope.testbed.settings import CONTROLLER
from migrascope.testbed.status import Status
from migrascope.testbed.testbed import Testbed

_START_S = 180.0
_WHOLE_S = 120.0
_START = 'systemctl reset-failed "$1" 2>/dev/null; systemctl start "$1" && echo "start $1"'

# A socket of a service that runs already cannot be started.
_LISTEN = f"""
for unit in "$@"; do systemctl is-active --quiet "$unit" || lost=1; done
[ -n "$lost" ] || exit 0
systemctl stop "$@"; echo "start $1 and its sockets"; {START}
"""


class Healer:
    """Mends and rebuilds one testbed. say: told of what takes long."""

    def __init__(self, testbed: Testbed, say: Callable[[str], None]) -> None:
        self._testbed, self._say = testbed, say

    async def boot(self, node: str) -> None:
        """Boots a node that is off and starts its services."""
        await testbeds.start_node(self._testbed, node, _silent)

    async def mend(self) -> list[str]:
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
        found = await testbeds.status(testbed)
        for unit, where in _down(found):
            did += [f"{line} on {where}" for line in await self._run(where, _START, unit)]
        return did

    async def whole(self) -> list[str]:
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
        found = await testbeds.up(self._testbed, "auto", _silent, _silent)
        if not found.healthy:
            raise Problem(f"the testbed {self._testbed.name} is not well even when it is made anew")


def _down(found: Status) -> list[tuple[str, str]]:
    """(service, node) of what is neither active nor about to be."""
    return [(one.name, one.node) for one in found.services if one.state not in ("active", "activating")]


def _silent(text: str) -> None:
    """Nobody wants to know each step."""
