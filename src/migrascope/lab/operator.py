"""An operator after a failure, on the labs of this machine: does what a lab's rule says, until the service answers."""

import time
from collections.abc import Awaitable, Callable, Mapping

from migrascope.lab.disturbable import Rescue
from migrascope.node.wait import WaitTimeout, wait_until

PATIENCE_S = 8.0
AGAIN = "start it again from its volume"
"""The last step: what comes after it is a boot."""
_BOOT_S = 90.0
_EVERY_S = 0.1


async def until_it_answers(
    answers: Callable[[], Awaitable[bool]],
    states: Callable[[], Awaitable[Mapping[str, str]]],
    next_step: Callable[[Mapping[str, str], float], str | None],
    do: Callable[[str], Awaitable[None]],
    steps: list[str],
) -> Rescue:
    """Does what brings the service back. answers: asks the service. states: of the instance, by host. next_step: what
    to do by these after nothing has been done for so many seconds. steps: done before; those done now come after."""
    began = since = time.monotonic()
    found = await states()
    answered_s = None
    while answered_s is None:
        booting = AGAIN in steps
        try:
            await wait_until(answers, _BOOT_S if booting else _EVERY_S, "the service answers", _EVERY_S)
            answered_s = round(time.monotonic() - began, 1)
        except WaitTimeout:
            if booting:
                break
            step = next_step(await states(), time.monotonic() - since)
            if step is not None:
                await do(step)
                steps.append(step)
                since = time.monotonic()
    words = ", ".join(f"{host}: {state}" for host, state in found.items())
    return Rescue(words or "no QEMU runs", steps, answered_s)
