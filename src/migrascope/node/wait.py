"""Waiting for a condition, never for a fixed time."""

import asyncio
from collections.abc import Awaitable, Callable

from migrascope.model.clock import mono_s
from migrascope.model.problem import Problem


class WaitTimeout(Problem):
    """A condition that did not come true in time."""


async def wait_until(
    condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str, every_s: float = 0.02
) -> None:
    """Returns as soon as the condition is true. WaitTimeout names what did not happen."""
    deadline = mono_s() + timeout_s
    while not await condition():
        if mono_s() > deadline:
            raise WaitTimeout(f"not in {timeout_s:g} s: {what}")
        await asyncio.sleep(every_s)
