"""What an operator does after a failure, until the service answers."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from migrascope.lab.disturbable import Rescue
from migrascope.lab.operator import AGAIN, PATIENCE_S, until_it_answers
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.machine import Program
from migrascope.lab.qemu.monitor import MonitorError

STANDS_STILL = ("io-error", "paused")


def next_step(states: Mapping[str, str], waited_s: float) -> str | None:
    """What to do now, None for waiting: "cont on HOST", or starting it again. states: of the QEMUs that run, by host;
    waited_s: for how long nothing has been done and nobody answered."""
    if any(state == "running" for state in states.values()):
        return AGAIN if waited_s >= PATIENCE_S else None
    for host, state in states.items():
        if state in STANDS_STILL:
            return f"cont on {host}"
    given_up = all(state == "postmigrate" for state in states.values())
    return AGAIN if given_up or waited_s >= PATIENCE_S else None


async def rescue(instance: Instance, program: Program, answers: Callable[[], Awaitable[bool]]) -> Rescue:
    """Does what brings the service back. answers: asks the service."""
    states, do = partial(_states, instance), partial(_do, instance, program)
    return await until_it_answers(answers, states, next_step, do, instance.steps)


async def _states(instance: Instance) -> dict[str, str]:
    """What each QEMU that has not ended says it does."""
    found = {}
    for host, process in instance.processes.items():
        if not process.ended:
            try:
                found[host] = (await instance.state(host))["status"]
            except MonitorError:
                found[host] = "no answer"
    return found


async def _do(instance: Instance, program: Program, step: str) -> None:
    if step == AGAIN:
        await instance.restart(program)
    else:
        await instance.monitors[step.removeprefix("cont on ")].execute("cont")
