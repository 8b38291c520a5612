"""One live migration from one QEMU to the other."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from migrascope.lab.contract import MigrationFailed, NotConverged, Requested
from migrascope.lab.qemu.handover import Handover
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.monitor import Monitor, MonitorError
from migrascope.lab.qemu.recovery import Recovery
from migrascope.lab.qemu.storage_copy import CopyFailed, StorageCopy
from migrascope.lab.qemu.topology import Topology
from migrascope.lab.steering import Steering, look_of
from migrascope.model.clock import mono_ns
from migrascope.model.controllers import Action, SetLimit, TurnToPostCopy
from migrascope.model.family import host_of
from migrascope.model.policy import Moment, Policy
from migrascope.node.wait import WaitTimeout, wait_until

_PORT = 4444
_ANSWERS_S = 5.0
_ASK_S = 0.05
_TURN_S = 0.01


def uri_of(topology: Topology, destination: str) -> str:
    """Where the QEMU on the destination waits."""
    return f"tcp:{host_of(topology.stream_address(destination))}:{_PORT}"


async def prepare(instance: Instance, destination: str) -> None:
    """Opens the destination's port. MonitorError when QEMU refuses."""
    uri = uri_of(instance.topology, destination)
    await instance.monitors[destination].execute("migrate-incoming", {"uri": uri})


async def migrate(
    instance: Instance, destination: str, policy: Policy, limit_s: float, downtime_limit_s: float,
    requested: Requested, recovery: Recovery | None, steering: Steering | None = None,
    handover: Handover | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Migrates a prepared instance and gives the source's final query-migrate. recovery: what is done about a post-copy
    without its link, None for nothing. steering: who changes it while it runs, handover: who hands it over, None for
    nobody.

    QEMU answers nobody while it sends the rest of a stopped guest, so it may be silent for the downtime limit more than
    otherwise. requested is called right before the command goes to QEMU. MigrationFailed with the reason;
    NotConverged after limit_s, when the migration has been cancelled, or, in post-copy, where no one can cancel it.
    """
    source = instance.host
    monitor = instance.monitors[source]
    uri = uri_of(instance.topology, destination)
    began = asyncio.get_running_loop().time()
    waits = _Waits(monitor) if instance.copy is not None else None
    requested()
    try:
        if instance.copy is not None:
            await instance.copy.run(instance.dead, limit_s)
        await monitor.execute("migrate", {"uri": uri})
    except (MonitorError, CopyFailed) as error:
        raise MigrationFailed(await _cause(instance, str(error))) from error
    turn = _turn(policy)
    while True:
        in_force_s = downtime_limit_s if steering is None else steering.limit_s
        answer = await _ask(instance, source, _ANSWERS_S + in_force_s)
        status = answer.get("status")
        elapsed = asyncio.get_running_loop().time() - began
        if status == "completed" and answer.get("total-time"):
            break
        if status == "cancelled":
            raise MigrationFailed(f"the migration was cancelled on {source}")
        if status == "failed":
            raise MigrationFailed(await _cause(instance, answer.get("error-desc") or f"QEMU on {source} says {status}"))
        if recovery is not None:
            await recovery.step(answer, elapsed)
        elif status == "postcopy-paused":
            raise MigrationFailed("post-copy lost its connection: the guest waits for memory that is on the source")
        if instance.copy is not None and instance.copy.following:
            await _keep_copying(instance, instance.copy, source, status == "pre-switchover", limit_s - elapsed)
        if status == "pre-switchover" and not instance.held:
            await (handover.go_on() if handover else monitor.execute("migrate-continue", {"state": status}))
        elif problem := instance.dead():
            raise MigrationFailed(problem)
        if elapsed > limit_s:
            if str(status).startswith("postcopy"):
                raise NotConverged(f"still {status} after {limit_s:g} s; post-copy cannot be cancelled")
            await _cancelled(instance, source)
            raise NotConverged(f"still {status} after {limit_s:g} s; cancelled")
        if steering and status == "active" and (action := steering.action(look_of(answer, elapsed))):
            await _carry_out(action, instance, source, steering, elapsed)
        if turn and status == "active" and turn.due(elapsed, answer):
            await monitor.execute(turn.command)
            turn = None
        look_s = _TURN_S if turn else min(_ASK_S, steering.look_s) if steering else _ASK_S
        await (asyncio.sleep(look_s) if waits is None else waits.at_most(look_s))

    async def runs() -> bool:
        if problem := instance.processes[destination].ended and instance.dead():
            raise MigrationFailed(str(problem))
        try:
            state = await instance.state(destination)
        except MonitorError as error:
            raise MigrationFailed(await _cause(instance, str(error))) from error
        if state["status"] == "io-error":
            raise MigrationFailed(f"the guest stands still on {destination}: its volume does not take what it writes")
        if policy.pause and state["status"] == "paused":
            await instance.monitors[destination].execute("cont")
        return bool(state["running"])

    await wait_until(runs, 10, f"the instance runs on {destination}")
    instance.host = destination
    return answer


async def _carry_out(action: Action, instance: Instance, source: str, steering: Steering, elapsed_s: float) -> None:
    """Does what was decided, and stamps it with what QEMU made of it. NotConverged where that is to give up."""
    monitor, asked_ns = instance.monitors[source], mono_ns()
    answers_s = _ANSWERS_S + steering.limit_s
    try:
        match action:
            case SetLimit(limit_s):
                wanted = {"downtime-limit": round(1000 * limit_s)}
                await monitor.execute("migrate-set-parameters", wanted, answers_s)
                read = await monitor.execute("query-migrate-parameters", timeout_s=answers_s)
                steering.done(action, asked_ns, read["downtime-limit"] / 1000)
            case TurnToPostCopy():
                await monitor.execute("migrate-start-postcopy", timeout_s=answers_s)
                steering.done(action, asked_ns)
            case _:
                status = await _cancelled(instance, source)
                steering.done(action, asked_ns)
                if status != "completed":
                    raise NotConverged(f"its manager gave it up after {elapsed_s:.1f} s; cancelled")
    except MonitorError as error:  # a migration that was over, or has failed, by then: its status tells
        steering.done(action, asked_ns, refused=str(error))


@dataclass(frozen=True)
class _Turn:
    """A command that a policy gives once during a migration, at its moment."""

    command: str
    moment: Moment

    def due(self, elapsed_s: float, answer: dict[str, Any]) -> bool:
        return self.moment.is_due(elapsed_s, answer.get("ram", {}).get("dirty-sync-count", 0))


def _turn(policy: Policy) -> _Turn | None:
    if policy.post_copy:
        return _Turn("migrate-start-postcopy", policy.post_copy)
    return _Turn("stop", policy.pause) if policy.pause else None


async def _cause(instance: Instance, words: str) -> str:
    """The QEMU that has died, if one has: the other often says first that something failed."""

    async def died() -> bool:
        return instance.dead() is not None

    with contextlib.suppress(WaitTimeout):
        await wait_until(died, 0.5, "a QEMU has died")
    return instance.dead() or words


async def _ask(instance: Instance, source: str, answers_s: float = _ANSWERS_S) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = await instance.monitors[source].execute("query-migrate", timeout_s=answers_s)
    except MonitorError as error:
        raise MigrationFailed(await _cause(instance, str(error))) from error
    return answer


async def _cancelled(instance: Instance, source: str) -> str:
    """Cancels it, and gives how it is over."""
    await instance.monitors[source].execute("migrate_cancel")
    over = ""

    async def cancelled() -> bool:
        nonlocal over
        over = str((await _ask(instance, source)).get("status"))
        return over in ("cancelled", "failed", "completed")

    await wait_until(cancelled, 10, "the migration is cancelled")
    return over


async def _keep_copying(instance: Instance, copy: StorageCopy, source: str, stopped: bool, left_s: float) -> None:
    """While the memory is copied, the copy of the volume has to follow; once the guest has stopped, it ends. Where it
    does not, the migration is cancelled. MigrationFailed with the reason; NotConverged after left_s."""
    try:
        await (copy.finish(instance.dead, left_s) if stopped and not instance.held else copy.check())
    except (MonitorError, CopyFailed, NotConverged) as error:
        with contextlib.suppress(MigrationFailed, MonitorError):
            await _cancelled(instance, source)
        if isinstance(error, NotConverged):
            raise
        raise MigrationFailed(await _cause(instance, str(error))) from error


class _Waits:
    """Tells at once when the source waits for a word at its switchover."""

    def __init__(self, source: Monitor) -> None:
        self._waits = asyncio.Event()
        source.listen(self._see)

    def _see(self, event: str, data: dict[str, Any], _at_ns: int) -> None:
        if event == "MIGRATION" and data.get("status") == "pre-switchover":
            self._waits.set()

    async def at_most(self, seconds: float) -> None:
        """Returns then, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._waits.wait(), seconds)
        self._waits.clear()
