"""What an operator does after a failure, by what both hosts' libvirts say, until the service answers."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from migrascope.lab.disturbable import Rescue
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.placed import SILENT
from migrascope.lab.operator import AGAIN, PATIENCE_S, until_it_answers

if TYPE_CHECKING:
    from migrascope.lab.libvirt.instance import LibvirtInstance

_RESUME, _END = "resume it on ", "end what is left of it on "


def next_step(states: Mapping[str, str], waited_s: float) -> str | None:
    """What to do now, None for waiting. states: libvirt's word for it by host; waited_s: for how long nothing has been
    done and nobody answered. Of two hosts that hold it paused neither is resumed, and nor is one while the other says
    nothing, for it must not run twice."""
    if "running" in states.values():
        return AGAIN if waited_s >= PATIENCE_S else None
    paused = [host for host, state in states.items() if state == "paused"]
    if len(paused) == 1 and SILENT not in states.values():
        return _RESUME + paused[0]
    gone = not paused and SILENT not in states.values()
    return AGAIN if gone or waited_s >= PATIENCE_S else None


def left_over(states: Mapping[str, str]) -> str | None:
    """The host that holds it paused while it runs on the other: what a migration has left there."""
    if sorted(states.values()) != ["paused", "running"]:
        return None
    return next(host for host, state in states.items() if state == "paused")


async def rescue(instance: "LibvirtInstance", answers: Callable[[], Awaitable[bool]]) -> Rescue:
    """Does what brings the service back. answers: asks the service."""
    steps: list[str] = []
    done = await until_it_answers(answers, instance.states, next_step, partial(_do, instance), steps)
    states = await instance.states()
    if done.answers_s is not None and (host := left_over(states)) is not None:
        with contextlib.suppress(LibvirtError):  # it has gone by itself
            await instance.call(host, "destroy")
            steps.append(_END + host)
    runs = [host for host, state in states.items() if state == "running"]
    if len(runs) == 1:
        instance.host = runs[0]
    return done


async def _do(instance: "LibvirtInstance", step: str) -> None:
    if step == AGAIN:
        await instance.end()
        await instance.start()
    else:
        await instance.call(step.removeprefix(_RESUME), "resume")
