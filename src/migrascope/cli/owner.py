"""Whose files a run leaves: under sudo, those of the user who called it."""

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from migrascope.model.plan import Plan
from migrascope.model.problem import UsageProblem
from migrascope.store.removal import mount_id
from migrascope.store.runfolder import RunFolder

_NUMBER = re.compile("[0-9]{1,10}")


@dataclass(frozen=True)
class Caller:
    """The user who called sudo, and their group."""

    user: int
    group: int


def _caller(environment: Mapping[str, str]) -> Caller | None:
    """None where we are not root, or not under sudo."""
    numbers = [environment.get(name, "") for name in ("SUDO_UID", "SUDO_GID")]
    if os.geteuid() != 0 or not all(_NUMBER.fullmatch(number) for number in numbers):
        return None
    return Caller(*map(int, numbers))


def need_ours(run: Path, plan: Plan, environment: Mapping[str, str] = os.environ) -> None:
    """UsageProblem where root is about to go on with a run of somebody else's, whose plan names what root would run,
    connect to or listen on: whoever can write its folder would be root."""
    named = {
        "lab.qemu_program": plan.lab.qemu_program,
        "cloud.name": plan.cloud.name,
        "cloud.hosts": plan.cloud.hosts,
        "cloud.origin": plan.cloud.origin,
        "libvirt.hosts": plan.libvirt.hosts,
        "observed.command": plan.observed.command,
        "observed.prepare": plan.observed.prepare,
    }
    keys = [key for key, value in named.items() if value]
    if os.geteuid() != 0 or not keys:
        return
    caller = _caller(environment)
    trusted = {0} if caller is None else {0, caller.user}
    for path in (run, run / "plan.toml"):
        found = path.stat()
        if found.st_uid not in trusted or found.st_mode & stat.S_IWOTH:
            raise UsageProblem(
                f"{path} can be written by others (its owner is user {found.st_uid}), and its plan names "
                f"{', '.join(keys)}: whoever wrote that would be root\n"
                f"  next: read {run / 'plan.toml'}; if it is what you want: migrascope run {run / 'plan.toml'}"
            )


def hand_over(*paths: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Gives what root has just made to the user who called sudo: these paths, and nothing that is in them."""
    if caller := _caller(environment):
        for path in paths:
            _give(caller, str(path))


def made_in(runs: Path) -> Callable[[RunFolder], None]:
    """What gives a new run in `runs` to the user who called sudo, with every folder that is made for it from now on."""
    new_folders = [path for path in (runs, *runs.parents) if not path.exists()]

    def made(run: RunFolder) -> None:
        latest = runs / "latest"
        ours = latest.is_symlink() and latest.readlink() == Path(run.id)
        hand_over(run.path, *new_folders, *([latest] if ours else []))

    return made


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
