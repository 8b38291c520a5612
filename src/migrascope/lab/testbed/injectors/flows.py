"""RARP that a node's Open vSwitch drops."""

from migrascope.node.container import Container

_COOKIE = "0x6d73"
"""By it our flow is found again among those of OVN or the agent; neither removes what it does not know."""
_FLOW = f"cookie={_COOKIE},table=0,priority=65535,dl_type=0x8035,actions=drop"


class RarpLoss:
    """A flow of br-int before all others."""

    def __init__(self, node: Container) -> None:
        self._node, self._applied = node, False

    async def arm(self) -> None:
        """ProcessError where there is no such bridge."""
        await self._node.run(["ovs-ofctl", "show", "br-int"])

    async def apply(self) -> str:
        self._applied = True
        await self._node.run(["ovs-ofctl", "add-flow", "br-int", _FLOW])
        return ""

    async def heal(self) -> str | None:
        """Tells how many frames were dropped; a node that is off has forgotten the flow."""
        if not self._applied or self._node.pid() is None:
            return None
        ours = f"cookie={_COOKIE}/-1"
        told = await self._node.run(["ovs-ofctl", "--no-names", "dump-flows", "br-int", ours])
        await self._node.run(["ovs-ofctl", "del-flows", "br-int", ours])
        self._applied = False
        counts = [part.partition("=")[2] for part in told.replace(" ", "").split(",") if part.startswith("n_packets=")]
        return f"{counts[0]} RARP frames were dropped" if counts else None
