"""What an operator does after a failure, by what both hosts' libvirts say, until the service answers."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from migrascope.lab.disturbable import Rescue
from migrascope.lab.operator import AGAIN, PATIENCE_S, until_it_answers

if TYPE_CHECKING:
    from migrascope.lab.libvirt.instance import LibvirtInstance

_RESUME = "resume it on "


def next_step(states: Mapping[str, str], waited_s: float) -> str | None:
    """What to do now, None for waiting. states: libvirt's word for it by host; waited_s: for how long nothing has been
    done and nobody answered. Of two hosts that hold it paused neither is resumed, for it must not run twice."""
    if "running" in states.values():
        return AGAIN if waited_s >= PATIENCE_S else None
    paused = [host for host, state in states.items() if state == "paused"]
    if len(paused) == 1:
        return _RESUME + paused[0]
    return AGAIN if not paused or waited_s >= PATIENCE_S else None


async def rescue(instance: "LibvirtInstance", answers: Callable[[], Awaitable[bool]]) -> Rescue:
    """Does what brings the service back. answers: asks the service."""
    return await until_it_answers(answers, instance.states, next_step, partial(_do, instance), [])


async def _do(instance: "LibvirtInstance", step: str) -> None:
    if step == AGAIN:
        await instance.end()
        await instance.start()
    else:
        await instance.call(step.removeprefix(_RESUME), "resume")
