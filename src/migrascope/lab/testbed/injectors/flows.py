"""What announces an instance, dropped by a node's Open vSwitch."""

import re
from collections.abc import Iterator, Sequence

from migrascope.node.container import Container

_COOKIE = "0x6d73"
"""By it our flows are found again among those of OVN or the agent; neither removes what it does not know."""
_NAMES = {"rarp": "RARP", "arp": "gratuitous ARP", "icmp6": "unsolicited neighbour advertisement"}
"""By what Open vSwitch calls the first part of a flow that matches them."""
_DUMPED = re.compile(r"n_packets=(\d+),.*priority=\d+,(\w+)")


def flows(mac: str, addresses: Sequence[str]) -> Iterator[str]:
    """As ovs-ofctl takes them: any RARP; ARP by which that MAC asks for its own address; neighbour advertisements of
    that MAC that nobody asked for, as they go to all nodes (RFC 4861, 4.4). addresses: the instance's on its network,
    of both families."""
    kinds = ["rarp", f"icmp6,dl_src={mac},ipv6_dst=ff02::1,icmp_type=136"]
    kinds += [f"arp,dl_src={mac},arp_spa={each},arp_tpa={each}" for each in addresses if ":" not in each]
    return (f"cookie={_COOKIE},table=0,priority=65535,{kind},actions=drop" for kind in kinds)


class AnnouncementLoss:
    """Flows of br-int before all others."""

    def __init__(self, node: Container, mac: str, addresses: Sequence[str]) -> None:
        self._node, self._flows, self._applied = node, "\n".join(flows(mac, addresses)) + "\n", False

    async def arm(self) -> None:
        """ProcessError where there is no such bridge."""
        await self._node.run(["ovs-ofctl", "show", "br-int"])

    async def apply(self) -> str:
        self._applied = True
        await self._node.run(["ovs-ofctl", "add-flows", "br-int", "-"], stdin=self._flows)
        return ""

    async def heal(self) -> str | None:
        """Tells how many frames were dropped; a node that is off has forgotten the flows."""
        if not self._applied or self._node.pid() is None:
            return None
        ours = f"cookie={_COOKIE}/-1"
        told = await self._node.run(["ovs-ofctl", "--no-names", "dump-flows", "br-int", ours])
        await self._node.run(["ovs-ofctl", "del-flows", "br-int", ours])
        self._applied = False
        return dropped(told)


def dropped(told: str) -> str:
    """How many frames flows have dropped, by kind. told: what `ovs-ofctl dump-flows` says of them."""
    counts = dict.fromkeys(_NAMES, 0)
    for count, kind in _DUMPED.findall(told):
        counts[kind] += int(count)
    return "dropped: " + ", ".join(f"{counts[kind]} of {name}" for kind, name in _NAMES.items())
