"""Whose files a run leaves: under sudo, those of the user who called it."""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from migrascope.store.removal import mount_id


@dataclass(frozen=True)
class Caller:
    """The user who called sudo, and their group."""

    user: int
    group: int


def _caller(environment: Mapping[str, str]) -> Caller | None:
    """None where we are not root, or not under sudo."""
    if os.geteuid() != 0 or "SUDO_UID" not in environment:
        return None
    return Caller(int(environment["SUDO_UID"]), int(environment["SUDO_GID"]))


def hand_over(*paths: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Gives what root has just made to the user who called sudo: these paths, and nothing that is in them."""
    if caller := _caller(environment):
        for path in paths:
            _give(caller, str(path))


def hand_over_run(folder: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Gives what root made in a run's folder to the user who called sudo, if the folder is theirs.

    A run that is resumed may be somebody else's. No link is followed and no mount crossed.
    """
    caller = _caller(environment)
    if caller is None:
        return
    with contextlib.suppress(FileNotFoundError), _opened(str(folder.resolve()), os.O_RDONLY | os.O_DIRECTORY) as top:
        if os.fstat(top).st_uid != caller.user:
            return
        mount = mount_id(top)
        for _, folders, files, inside in os.fwalk(".", dir_fd=top, follow_symlinks=False):
            if mount_id(inside) != mount:
                folders.clear()
                continue
            for name in (*folders, *files):
                _give(caller, name, inside, mount)


def _give(caller: Caller, name: str, parent: int | None = None, mount: str | None = None) -> None:
    """Gives a file, a folder or a link that is root's, if it has this name alone: whoever may write the folder could
    have given a file of root's, from elsewhere, another name here. mount: only what is on it; None: on any.

    OSError is passed over: the file is gone, or its file system knows no owners.
    """
    with contextlib.suppress(OSError), _opened(name, os.O_PATH, parent) as handle:
        found = os.fstat(handle)
        if mount not in (None, mount_id(handle)):
            return
        alone = found.st_nlink == 1 and (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode))
        if found.st_uid == 0 and (alone or stat.S_ISDIR(found.st_mode)):
            # By its handle, since by now the name may mean another file.
            os.chown(f"/proc/self/fd/{handle}", caller.user, caller.group)


@contextlib.contextmanager
def _opened(name: str, how: int, parent: int | None = None) -> Iterator[int]:
    handle = os.open(name, how | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)
