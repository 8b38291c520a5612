"""What an operator does after a failure, until the service answers."""

import time
from collections.abc import Awaitable, Callable, Mapping

from migrascope.lab.disturbable import Rescue
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.machine import Program
from migrascope.lab.qemu.monitor import MonitorError
from migrascope.node.wait import WaitTimeout, wait_until

PATIENCE_S = 8.0
_BOOT_S = 90.0
_EVERY_S = 0.1
STANDS_STILL = ("io-error", "paused")
_AGAIN = "start it again from its volume"


def next_step(states: Mapping[str, str], waited_s: float) -> str | None:
    """What to do now, None for waiting: "cont on HOST", or starting it again. states: of the QEMUs that run, by host;
    waited_s: for how long nothing has been done and nobody answered."""
    if any(state == "running" for state in states.values()):
        return _AGAIN if waited_s >= PATIENCE_S else None
    for host, state in states.items():
        if state in STANDS_STILL:
            return f"cont on {host}"
    given_up = all(state == "postmigrate" for state in states.values())
    return _AGAIN if given_up or waited_s >= PATIENCE_S else None


async def rescue(instance: Instance, program: Program, answers: Callable[[], Awaitable[bool]]) -> Rescue:
    """Does what brings the service back. answers: asks the service."""
    began = since = time.monotonic()
    found = await _states(instance)
    steps = instance.steps
    answered_s = None
    while answered_s is None:
        booting = _AGAIN in steps
        try:
            await wait_until(answers, _BOOT_S if booting else _EVERY_S, "the service answers", _EVERY_S)
            answered_s = round(time.monotonic() - began, 1)
        except WaitTimeout:
            if booting:
                break
            step = next_step(await _states(instance), time.monotonic() - since)
            if step is not None:
                await _do(instance, program, step)
                steps.append(step)
                since = time.monotonic()
    words = ", ".join(f"{host}: {state}" for host, state in found.items())
    return Rescue(words or "no QEMU runs", steps, answered_s)


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
    if step == _AGAIN:
        await instance.restart(program)
    else:
        await instance.monitors[step.removeprefix("cont on ")].execute("cont")
