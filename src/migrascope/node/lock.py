"""Locks between processes: a file that one of them holds alone, or several share. They go with their holder."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path


@contextlib.asynccontextmanager
async def locked(path: Path, waiting: Callable[[], None], *, shared: bool = False) -> AsyncIterator[None]:
    """Holds the file, made unless it is there; `waiting` is called once where another holds it. OSError where it cannot
    be made."""
    handle = _open(path)
    try:
        told = False
        while not _take(handle, shared=shared):
            if not told:
                waiting()
                told = True
            await asyncio.sleep(0.2)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def free(path: Path) -> Iterator[bool]:
    """Whether nobody held the file; if so it is held alone meanwhile."""
    handle = _open(path)
    try:
        yield _take(handle, shared=False)
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _take(handle: int, *, shared: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
