"""How the cloud's Ceph is, and what its clients read and write: table ceph.

Config: python (the command of a Python with Ceph's module, in a node that may ask), interval_s. One such Python runs
files/health.py; what it prints is recorded here. persist: it is started again when it ends, with its node for example;
else its end is this program's.
"""

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

from migrascope.node.child import first_line, kill
from migrascope.node.program import Program
from migrascope.store.spool import Spool

SCRIPT = Path(__file__).parent / "files" / "health.py"
_READY_S = 20.0
_AGAIN_S = 0.5


class ClusterFailed(Exception):
    """A cluster that cannot be asked."""


async def _asker(config: dict[str, Any]) -> asyncio.subprocess.Process:
    """A Python that asks. ClusterFailed when nobody answers it."""
    told = json.dumps({"interval_s": config["interval_s"]})
    child = await asyncio.create_subprocess_exec(
        *config["python"], "-c", SCRIPT.read_text(encoding="utf-8"), told,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if (await first_line(child, _READY_S)).strip() != b'["ready"]':
        await kill(child)
        raise ClusterFailed("Ceph cannot be asked how it is")
    return child


async def _record(program: Program, spool: Spool, child: asyncio.subprocess.Process) -> None:
    """Records what it says until the program ends, or it does."""
    assert child.stdin is not None
    assert child.stdout is not None
    ended = asyncio.create_task(program.ended())
    while not program.ending:
        line = asyncio.create_task(child.stdout.readline())
        await asyncio.wait([ended, line], return_when=asyncio.FIRST_COMPLETED)
        if not line.done():
            line.cancel()
        elif not line.result().endswith(b"\n"):
            break
        else:
            spool.add(*json.loads(line.result()))
            spool.flush()
    ended.cancel()
    child.stdin.close()
    await child.wait()


async def main(program: Program) -> None:
    config = program.config
    child = await _asker(config)
    with program.spool("ceph") as spool:
        program.ready()
        await _record(program, spool, child)
        while not program.ending:
            if not config.get("persist", False):
                raise ClusterFailed("the one that asks Ceph went away")
            asked = time.monotonic_ns()
            spool.add(asked, time.monotonic_ns(), "", "", -1, -1)
            with contextlib.suppress(ClusterFailed):
                await _record(program, spool, await _asker(config))
            await asyncio.sleep(_AGAIN_S)


if __name__ == "__main__":
    Program.from_argv().run(main)
