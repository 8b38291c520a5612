"""Waiting for a guest that boots."""

from collections.abc import Callable

from migrascope.lab.contract import Instance
from migrascope.model.clock import mono_s
from migrascope.model.problem import Problem
from migrascope.node.wait import WaitTimeout, wait_until
from migrascope.trial.agent_client import AgentClient


class NoBoot(Problem):
    """A guest that did not come up; the message says how far it came."""


async def await_boot(
    instance: Instance, guest: AgentClient, limit_s: float, say: Callable[[str], None] = lambda text: None
) -> None:
    """Returns as soon as the guest's website and agent answer. NoBoot after limit_s, or when it has died. say: takes
    how long it has been waited for."""
    began = mono_s()

    async def booted() -> bool:
        if problem := instance.problem():
            raise NoBoot(f"the guest did not boot: {problem}")
        took = mono_s() - began
        say(f"a guest boots: {took:.0f} s (given up after {limit_s:.0f} s)")
        return await guest.ready()

    try:
        await wait_until(booted, limit_s, "the guest boots and its website answers", 0.05)
    except WaitTimeout as error:
        last = " | ".join((await instance.console() or "").strip().splitlines()[-3:])
        raise NoBoot(f"{error}; serial console: {last or 'empty'}") from error
