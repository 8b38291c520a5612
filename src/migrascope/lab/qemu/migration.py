"""One live migration from one QEMU to the other."""

import asyncio
import contextlib
from typing import Any

from migrascope.lab.contract import MigrationFailed, NotConverged, Requested
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.monitor import MonitorError
from migrascope.lab.qemu.topology import address
from migrascope.node.until import Late, until

_PORT = 4444


async def prepare(instance: Instance, destination: str) -> None:
    """Opens the destination's port. MonitorError when QEMU refuses."""
    uri = f"tcp:{address(destination, 'migration')}:{_PORT}"
    await instance.monitors[destination].execute("migrate-incoming", {"uri": uri})


async def migrate(instance: Instance, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
    """Migrates a prepared instance and gives the source's final query-migrate.

    requested is called right before the command goes to QEMU. MigrationFailed with the reason; NotConverged after
    limit_s, when the migration has been cancelled.
    """
    source = instance.host
    monitor = instance.monitors[source]
    uri = f"tcp:{address(destination, 'migration')}:{_PORT}"
    requested()
    await monitor.execute("migrate", {"uri": uri})
    deadline = asyncio.get_running_loop().time() + limit_s
    while True:
        answer = await _ask(instance, source)
        status = answer.get("status")
        if status == "completed" and answer.get("total-time"):
            break
        if status in ("failed", "cancelled"):
            raise MigrationFailed(await _cause(instance, answer.get("error-desc") or f"QEMU on {source} says {status}"))
        if problem := instance.dead():
            raise MigrationFailed(problem)
        if asyncio.get_running_loop().time() > deadline:
            await _cancel(instance, source)
            raise NotConverged(f"still {status} after {limit_s:g} s; cancelled")
        await asyncio.sleep(0.05)

    async def runs() -> bool:
        if problem := instance.processes[destination].ended and instance.dead():
            raise MigrationFailed(str(problem))
        return bool((await instance.state(destination))["running"])

    await until(runs, 10, f"the instance runs on {destination}")
    instance.host = destination
    return answer


async def _cause(instance: Instance, words: str) -> str:
    """The QEMU that has died, if one has: the other often says first that something failed."""

    async def died() -> bool:
        return instance.dead() is not None

    with contextlib.suppress(Late):
        await until(died, 0.5, "a QEMU has died")
    return instance.dead() or words


async def _ask(instance: Instance, source: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = await instance.monitors[source].execute("query-migrate")
    except MonitorError as error:
        raise MigrationFailed(await _cause(instance, str(error))) from error
    return answer


async def _cancel(instance: Instance, source: str) -> None:
    await instance.monitors[source].execute("migrate_cancel")

    async def cancelled() -> bool:
        return (await _ask(instance, source)).get("status") in ("cancelled", "failed", "completed")

    await until(cancelled, 10, "the migration is cancelled")
