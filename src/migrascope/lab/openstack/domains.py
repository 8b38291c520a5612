"""What libvirt runs on the nodes, whatever Nova thinks of it."""

import asyncio

from migrascope.lab.openstack.parts import Parts
from migrascope.model.problem import Problem

_ASK_S = 10.0
NONE, SILENT = "no domain", "no answer"


async def state(parts: Parts, host: str, server: str) -> str:
    """What a host's libvirt says of a server: virsh's word, "no domain", or "no answer"."""
    try:
        return (await parts.nodes[host].run(["virsh", "domstate", server], timeout_s=_ASK_S)).strip()
    except (Problem, OSError) as error:
        return NONE if "failed to get domain" in str(error) else SILENT


async def states(parts: Parts, server: str) -> dict[str, str]:
    """The same of every host."""
    said = await asyncio.gather(*(state(parts, host, server) for host in parts.nodes))
    return dict(zip(parts.nodes, said, strict=True))


async def end(parts: Parts, host: str, server: str) -> None:
    """Ends a domain as by a power cut, and forgets it. Problem where libvirt refuses."""
    node = parts.nodes[host]
    if await state(parts, host, server) != "shut off":
        await node.run(["virsh", "destroy", server], timeout_s=_ASK_S)
    if await state(parts, host, server) != NONE:
        await node.run(["virsh", "undefine", "--nvram", server], timeout_s=_ASK_S)


async def end_orphans(parts: Parts, servers: set[str]) -> list[str]:
    """Ends every domain that is none of Nova's servers (ids); says which, and where."""
    did = []
    for host, node in parts.nodes.items():
        listed = (await node.run(["virsh", "list", "--all", "--uuid"], timeout_s=_ASK_S)).split()
        for server in set(listed) - servers:
            await end(parts, host, server)
            did.append(f"end what Nova had forgotten on {host}")
    return did
