"""Locks between processes: whose they are, who waits for whom, and until when."""

import os
import stat
from pathlib import Path

import pytest

from migrascope.node.lock import Held, free, locked


async def test_one_that_waits_says_for_whom_and_ends(tmp_path: Path) -> None:
    path, said = tmp_path / "lock", list[str]()
    async with locked(path, said.append):
        with pytest.raises(Held, match=rf"held for 0 s by process {os.getpid()}\n  next: "):
            async with locked(path, said.append, limit_s=0):
                pass
        with free(path) as holder:
            assert holder == f"process {os.getpid()}"
    assert said == [f"process {os.getpid()}"]
    with free(path) as holder:
        assert holder is None


async def test_several_share(tmp_path: Path) -> None:
    async with locked(tmp_path / "lock", print, shared=True), locked(tmp_path / "lock", print, shared=True, limit_s=0):
        with free(tmp_path / "lock") as holder:
            assert holder is not None


def test_nobody_else_can_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch(0o644)
    with free(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"), free(tmp_path / "link"):
        pass
