"""One live migration, asked of the source's libvirt, which speaks to the destination's."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from migrascope.lab.contract import MigrationFailed, NotConverged, Requested
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.policy import request_of
from migrascope.lab.steering import Steering
from migrascope.model.clock import mono_ns
from migrascope.model.controllers import Action, Look, SetLimit, TurnToPostCopy
from migrascope.model.family import host_of
from migrascope.model.policy import Moment, Policy
from migrascope.node.wait import wait_until

if TYPE_CHECKING:
    from migrascope.lab.libvirt.instance import LibvirtInstance

_LOOK_S, _TURN_S = 0.05, 0.01
_ABORTED_S, _ENDING_S = 20.0, 1.0
"""Maximum time for a migration to end that was aborted, or that could not be, for it was about to end."""
COMPLETED = ["VIR_DOMAIN_JOB_STATS_COMPLETED", "VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED"]


class Migrated(Protocol):
    """A domain that is migrated. host: where it runs."""

    host: str

    @property
    def policy(self) -> Policy: ...

    async def call(self, host: str, name: str, *args: Any, timeout_s: float | None = 20.0) -> Any:
        """A call about it to a host's libvirt."""

    async def state(self, host: str) -> str:
        """What a host's libvirt says of it, in a word."""

    async def ask(self, destination: str) -> None:
        """Has it migrated, to the end. LibvirtError with libvirt's words."""


def arguments(instance: "LibvirtInstance", destination: str) -> tuple[Any, ...]:
    """What virDomainMigrateToURI3 is given: the stream goes over the migration link, libvirts talk over management.
    Where it goes through their connection, that is over the migration link."""
    request, host = request_of(instance.policy, instance.spec.storage), instance.hosts[destination]
    if instance.policy.tunnelled:
        return host.uri("migration"), request.parameters, {"flags": request.flags}
    to = instance.topology.stream_address(destination)
    parameters = {"migrate_uri": f"tcp://{host_of(to)}", "listen_address": to} | request.parameters
    return host.uri("management"), parameters, {"flags": request.flags}


async def migrate(
    instance: Migrated, destination: str, limit_s: float, requested: Requested, steering: Steering | None = None
) -> dict[str, Any]:
    """Migrates and gives {"status": "completed", "job": the completed job's statistics}. steering: who changes it while
    it runs, None for nobody.

    requested is called right before libvirt is asked. MigrationFailed with libvirt's words; NotConverged after limit_s,
    when it has been aborted, or, in post-copy, where nobody can abort it.
    """
    source, loop = instance.host, asyncio.get_running_loop()
    requested()
    began = loop.time()
    moving = asyncio.create_task(instance.ask(destination))
    try:
        turn = _turn(instance)
        look_s = min(_LOOK_S, steering.look_s) if steering else _LOOK_S
        while not (await asyncio.wait([moving], timeout=_TURN_S if turn else look_s))[0]:
            elapsed = loop.time() - began
            if elapsed > limit_s:
                await _give_up(instance, source, moving, f"still migrating after {limit_s:g} s")
            if steering and steering.is_due(elapsed):
                action = steering.action(await _look(instance, source, elapsed))
                if action is not None:
                    await _carry_out(action, instance, source, steering, moving, elapsed)
            if turn and await _due(instance, source, turn[1], elapsed):
                with contextlib.suppress(LibvirtError):  # it is over already, or has not quite begun
                    await instance.call(source, turn[0], *turn[2])
                    turn = steering = None
        await moving
    except LibvirtError as error:
        raise MigrationFailed(str(error)) from error
    finally:
        moving.cancel()

    async def runs() -> bool:
        return await instance.state(destination) == "running"

    await wait_until(runs, 10, f"the instance runs on {destination}")
    instance.host = destination
    job = await instance.call(destination, "jobStats", {"flags": COMPLETED})
    return {"status": "completed", "job": job}


_Turn = tuple[str, Moment, tuple[Any, ...]]
"""A call that a policy makes once while the migration runs, its moment, and its arguments."""


def _turn(instance: Migrated) -> _Turn | None:
    policy = instance.policy
    if policy.post_copy:
        return "migrateStartPostCopy", policy.post_copy, (0,)
    return ("suspend", policy.pause, ()) if policy.pause else None


async def _due(instance: Migrated, source: str, moment: Moment, elapsed_s: float) -> bool:
    """It is not asked before a moment in time has come."""
    if moment.after is not None and elapsed_s < moment.after:
        return False
    look = await _look(instance, source, elapsed_s)
    return look is not None and moment.is_due(elapsed_s, look.rounds)


async def _look(instance: Migrated, source: str, elapsed_s: float) -> Look | None:
    """By libvirt's statistics of the job, which counts memory and rounds as QEMU does; None before the first."""
    try:
        job = await instance.call(source, "jobStats", 0)
    except LibvirtError:
        return None
    if not job.get("memory_iteration"):
        return None
    left, sent, rate = (job.get(f"memory_{name}", 0) for name in ("remaining", "processed", "bps"))
    return Look(elapsed_s, left, sent, job["memory_iteration"], rate or None)


async def _carry_out(
    action: Action, instance: Migrated, source: str, steering: Steering, moving: "asyncio.Task[Any]", elapsed_s: float
) -> None:
    """Does what was decided, and stamps it with what libvirt made of it. NotConverged where that is to give up."""
    asked_ns = mono_ns()
    try:
        match action:
            case SetLimit(limit_s):
                await instance.call(source, "migrateSetMaxDowntime", round(1000 * limit_s), 0)
                steering.done(action, asked_ns, await instance.call(source, "migrateGetMaxDowntime", 0) / 1000)
            case TurnToPostCopy():
                await instance.call(source, "migrateStartPostCopy", 0)
                steering.done(action, asked_ns)
            case _:
                try:
                    await _give_up(instance, source, moving, f"its manager gave it up after {elapsed_s:.1f} s")
                finally:
                    steering.done(action, asked_ns)
    except LibvirtError as error:  # a migration that was over, or has failed, by then: its call tells
        steering.done(action, asked_ns, refused=error.words)


async def _give_up(instance: Migrated, source: str, moving: "asyncio.Task[Any]", why: str) -> None:
    """Aborts a migration. NotConverged, which says why, unless it comes to its end meanwhile."""
    words, wait_s = f"{why}; aborted", _ABORTED_S
    try:
        await instance.call(source, "abortJob")
    except LibvirtError as error:
        words, wait_s = f"{why}, and not to be aborted: {error}", _ENDING_S
    try:
        await asyncio.wait_for(asyncio.shield(moving), wait_s)
    except LibvirtError as error:
        raise NotConverged(f"{words}: {error}") from error
    except TimeoutError:
        raise NotConverged(f"{words}, and it goes on") from None
