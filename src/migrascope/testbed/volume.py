"""A volume of a testbed's cloud, taken out of Ceph."""

import asyncio
import contextlib
from pathlib import Path

from migrascope.model.problem import Problem
from migrascope.testbed.settings import CONTROLLER
from migrascope.testbed.testbed import Testbed

_LIMIT_S = 180.0


async def export(testbed: Testbed, volume: str, disk: Path) -> None:
    """Writes a volume, by its id in Cinder, into a raw file. Problem with rbd's words when it fails."""
    rbd = ("setpriv", "--pdeathsig", "KILL", "rbd", "export", "--no-progress", f"volumes/volume-{volume}", "-")
    with disk.open("wb") as output:
        child = await asyncio.create_subprocess_exec(
            *testbed.node(CONTROLLER).command(rbd), stdout=output, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, errors = await asyncio.wait_for(child.communicate(), _LIMIT_S)
        except TimeoutError:
            raise Problem(f"volume {volume} was not exported in {_LIMIT_S:g} s") from None
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.communicate()  # not wait(): it waits for pipes that nobody reads any more
    if child.returncode:
        raise Problem(f"volume {volume} cannot be exported: {errors.decode(errors='replace').strip()}")
