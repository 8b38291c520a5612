"""Ports of servers in the nodes' integration bridges: a migration that failed can leave one on its destination, to
which the switch goes on sending what is for the server."""

import asyncio
import json
from collections.abc import Set

from migrascope.lab.testbed.nodes import Nodes
from migrascope.model.problem import Problem

_ASK_S = 10.0
_LIST = ["ovs-vsctl", "--format=json", "--columns=name,external_ids", "list", "interface"]


async def taps(nodes: Nodes, host: str) -> dict[str, str]:
    """The server (id) of each tap of a node, by the tap's name; none where the node does not answer."""
    try:
        rows = json.loads(await nodes.by_name[host].run(_LIST, timeout_s=_ASK_S))["data"]
    except (Problem, OSError):
        return {}
    named = {name: dict(ids).get("vm-uuid") for name, (_, ids) in rows}
    return {name: server for name, server in named.items() if server}


async def hosts_with(nodes: Nodes, server: str) -> frozenset[str]:
    """The nodes on which a server has a tap."""
    found = await asyncio.gather(*(taps(nodes, host) for host in nodes.by_name))
    return frozenset(host for host, by_name in zip(nodes.by_name, found, strict=True) if server in by_name.values())


async def unplug(nodes: Nodes, host: str, server: str) -> None:
    """Takes a server's taps out of a node's bridge. Problem where that is refused."""
    for name, owner in (await taps(nodes, host)).items():
        if owner == server:
            await nodes.by_name[host].run(["ovs-vsctl", "--if-exists", "del-port", "br-int", name], timeout_s=_ASK_S)


async def unplug_orphans(nodes: Nodes, servers: Set[str]) -> list[str]:
    """Takes out every tap that is none of Nova's servers' (ids); says which, and where."""
    did = []
    for host in nodes.by_name:
        for server in set((await taps(nodes, host)).values()) - servers:
            await unplug(nodes, host, server)
            did.append(f"unplug what Nova had forgotten on {host}")
    return did
