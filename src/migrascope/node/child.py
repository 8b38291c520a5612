"""A child that this process speaks with: what it says first, and its end."""

import asyncio
import contextlib


async def first_line(child: asyncio.subprocess.Process, limit_s: float) -> bytes:
    """The first line of its standard output, which is a pipe; empty where it ends or so long passes without one."""
    assert child.stdout is not None
    try:
        return await asyncio.wait_for(child.stdout.readline(), limit_s)
    except TimeoutError:
        return b""


async def kill(child: asyncio.subprocess.Process) -> None:
    """Ends it, also where it has ended, and waits until it has."""
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()
