"""How the cloud's Ceph is, and what its clients read and write: table ceph.

Config: python (the command of a Python with Ceph's module, in a node that may ask), interval_s. One such Python runs
files/health.py; what it prints is recorded here.
"""

import asyncio
import json
from pathlib import Path

from migrascope.node.program import Program

SCRIPT = Path(__file__).parent / "files" / "health.py"
_READY_S = 20.0


class ClusterFailed(Exception):
    """A cluster that cannot be asked."""


async def main(program: Program) -> None:
    config = program.config
    told = json.dumps({"interval_s": config["interval_s"]})
    child = await asyncio.create_subprocess_exec(
        *config["python"], "-c", SCRIPT.read_text(encoding="utf-8"), told,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    if (await asyncio.wait_for(child.stdout.readline(), _READY_S)).strip() != b'["ready"]':
        raise ClusterFailed("Ceph cannot be asked how it is")
    with program.spool("ceph") as spool:
        program.ready()
        ended = asyncio.create_task(program.ended())
        while not program.ending:
            line = asyncio.create_task(child.stdout.readline())
            await asyncio.wait([ended, line], return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
            elif not line.result():
                raise ClusterFailed("the one that asks Ceph went away")
            else:
                spool.add(*json.loads(line.result()))
                spool.flush()
        child.stdin.close()
        await child.wait()


if __name__ == "__main__":
    Program.from_argv().run(main)
