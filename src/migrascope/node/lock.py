"""Locks between processes: a file that one of them holds alone, or several share. They go with their holder.

The files are their owner's alone (0600): whoever can open a file can hold its lock for ever.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from migrascope.model.problem import Problem

LIMIT_S = 3600.0
"""Maximum time to wait for a lock: the longest that is done under one is to build an image on a slow machine."""


class Held(Problem):
    """A lock that another process did not give back in time."""


@contextlib.asynccontextmanager
async def locked(
    path: Path, waiting: Callable[[str], None], *, shared: bool = False, limit_s: float = LIMIT_S
) -> AsyncIterator[None]:
    """Holds the file, made unless it is there. waiting: called once, with who holds it, where another does. OSError
    where it cannot be made, Held after limit_s."""
    handle = _open(path)
    try:
        told, deadline = False, time.monotonic() + limit_s
        while not _take(handle, shared=shared):
            if not told:
                waiting(_holder(handle))
                told = True
            if time.monotonic() > deadline:
                who = _holder(handle)
                raise Held(f"{path} was held for {limit_s:.0f} s by {who}\n  next: end it, or wait, and try again")
            await asyncio.sleep(0.2)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def free(path: Path) -> Iterator[str | None]:
    """None where nobody held the file: it is held alone meanwhile; else who holds it."""
    handle = _open(path)
    try:
        yield None if _take(handle, shared=False) else _holder(handle)
    finally:
        os.close(handle)


def holder(path: Path) -> str | None:
    """Who holds the file alone, without touching its lock; None where nobody does, or it is not there."""
    try:
        return _listed(path.stat().st_ino)
    except OSError:
        return None


def _open(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.fstat(handle).st_uid == os.geteuid():
        os.fchmod(handle, 0o600)
    return handle


def _holder(handle: int) -> str:
    """Who holds it, for people; another process where that cannot be known."""
    return _listed(os.fstat(handle).st_ino) or "another process"


def _listed(inode: int) -> str | None:
    """The process that holds it by proc_locks(5), None where that names none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5].endswith(f":{inode}") and int(words[4]) > 0:
                return f"process {words[4]}"
    return None


def _take(handle: int, *, shared: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
