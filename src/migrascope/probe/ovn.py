"""What OVN's databases and switches say of an instance's port while it moves: table ovn.

Config: hosts ({host: the command of a Python in the host}), port (id), addresses (those of IPv4 that visitors use). On
each host one such Python runs files/ovn.py; what it prints is recorded here. The southbound database is the same for
all: the first host that knows it follows it. A host without OVN, and one that goes away, has no more rows.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from migrascope.node.child import first_line, kill
from migrascope.node.program import Program
from migrascope.store.spool import Spool

SCRIPT = Path(__file__).parent / "files" / "ovn.py"
_READY_S = 20.0
_END_S = 2.0
Child = asyncio.subprocess.Process


async def _follower(host: str, python: Sequence[str], config: Mapping[str, Any], *, southbound: bool) -> Child | None:
    """The one that follows on that host; None where there is no OVN, or no answer."""
    given = json.dumps({"port": config["port"], "addresses": config["addresses"], "southbound": southbound})
    child = await asyncio.create_subprocess_exec(
        *python, "-c", SCRIPT.read_text(encoding="utf-8"), given,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20,
    )  # fmt: skip
    said = (await first_line(child, _READY_S)).strip()
    if said == b'["ready"]':
        return child
    if said != b'["none"]':
        print(f"OVN on {host} cannot be followed", file=sys.stderr)
    await kill(child)
    return None


async def _record(child: Child, spool: Spool) -> None:
    """Records what it says until it ends."""
    assert child.stdout is not None
    async for line in child.stdout:
        if not line.endswith(b"\n"):
            break  # cut off with its host
        what, wall_ns, said = json.loads(line)
        spool.add(wall_ns, what, said)
        spool.flush()
    await child.wait()


async def main(program: Program) -> None:
    children: dict[str, Child] = {}
    for host, python in program.config["hosts"].items():
        child = await _follower(host, python, program.config, southbound=not children)
        if child is not None:
            children[host] = child
    spools = {host: program.spool("ovn", source=f"ovn-{host}", host=host) for host in children}
    tasks = [asyncio.create_task(_record(child, spools[host])) for host, child in children.items()]
    program.ready()
    await program.ended()
    for child in children.values():
        assert child.stdin is not None
        child.stdin.close()
    if tasks:
        await asyncio.wait(tasks, timeout=_END_S)
    for child in children.values():
        if child.returncode is None:
            await kill(child)
    await asyncio.gather(*tasks)
    for spool in spools.values():
        spool.close()


if __name__ == "__main__":
    Program.from_argv().run(main)
