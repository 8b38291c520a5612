"""What libvirt runs on the nodes, whatever Nova thinks of it."""

import asyncio

from migrascope.lab.testbed.nodes import Nodes
from migrascope.model.problem import Problem

_ASK_S = 10.0
NONE, SILENT = "no domain", "no answer"


async def state(nodes: Nodes, host: str, server: str) -> str:
    """What a host's libvirt says of a server: virsh's word, "no domain", or "no answer"."""
    try:
        return (await nodes.by_name[host].run(["virsh", "domstate", server], timeout_s=_ASK_S)).strip()
    except (Problem, OSError) as error:
        return NONE if "failed to get domain" in str(error) else SILENT


async def states(nodes: Nodes, server: str) -> dict[str, str]:
    """The same of every host."""
    said = await asyncio.gather(*(state(nodes, host, server) for host in nodes.by_name))
    return dict(zip(nodes.by_name, said, strict=True))


async def end(nodes: Nodes, host: str, server: str) -> None:
    """Ends a domain as by a power cut, and forgets it. Problem where libvirt refuses."""
    node = nodes.by_name[host]
    if await state(nodes, host, server) != "shut off":
        await node.run(["virsh", "destroy", server], timeout_s=_ASK_S)
    if await state(nodes, host, server) != NONE:
        await node.run(["virsh", "undefine", "--nvram", server], timeout_s=_ASK_S)


async def end_orphans(nodes: Nodes, servers: set[str]) -> list[str]:
    """Ends every domain that is none of Nova's servers (ids); says which, and where."""
    did = []
    for host, node in nodes.by_name.items():
        listed = (await node.run(["virsh", "list", "--all", "--uuid"], timeout_s=_ASK_S)).split()
        for server in set(listed) - servers:
            await end(nodes, host, server)
            did.append(f"end what Nova had forgotten on {host}")
    return did
