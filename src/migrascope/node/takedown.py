"""What killed labs and testbeds left on this machine, taken down by their registers.

A register is not believed. What does not have its id as a name is never touched; a process is ended only in a namespace
of its own, and only if it started after the register's owner. What a damaged line may have named is not guessed: it is
said, and left to people. Nothing that stays stops the rest.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from migrascope.model.problem import Problem
from migrascope.node import cgroup
from migrascope.node.namespace import NETNS, Namespace
from migrascope.node.paths import LABS, TESTBEDS
from migrascope.node.register import Register, registers, start_time
from migrascope.store.removal import NotRemoved, remove_tree

_ENDING_S = 10.0


@dataclass
class Cleaned:
    """What was removed, for people: names of labs, namespaces and cgroups, and processes as "pid command".

    left: what stays that should go, and why.
    """

    labs: list[str] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    cgroups: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def remove(register: Register, cleaned: Cleaned) -> None:
    """Removes all that a lab left: its processes, namespaces and cgroups, its folder. As long as any of that stays, so
    does the folder, for the register in it is what finds it again."""
    if not take_down(register, cleaned):
        return
    try:
        if remove_tree(register.folder, register.folder.parent):
            cleaned.labs.append(register.id)
    except NotRemoved as problem:
        cleaned.left.append(str(problem))


def take_down(register: Register, cleaned: Cleaned) -> bool:
    """Removes what a lab or testbed has on this machine outside its folder: processes by their namespaces, namespaces,
    cgroups. What stays is said, and stops nothing else. Gives whether all that is its own is gone."""
    before = len(cleaned.left)
    spaces = []
    for space in register.namespaces():
        if space.path.is_symlink():
            cleaned.left.append(f"{space.path} is a link, and no namespace\n  next: rm {space.path}")
        else:
            spaces.append(space)
    _end_processes(spaces, register, cleaned)
    inhabited = len(cleaned.left) > before  # and keep their names, by which they are found
    for space in [] if inhabited else spaces:
        with _noted(cleaned, str(space.path)):
            if space.path.exists():
                space.delete()
                cleaned.namespaces.append(space.name)
    for path in register.cgroups():
        with _noted(cleaned, str(path)):
            if cgroup.remove(path):
                cleaned.cgroups.append(path.name)
    for name in register.unlisted():
        how = f"ip netns delete {Path(name).name}" if Path(name).parent == NETNS else f"rmdir {name}"
        words = f"{name} has a name of {register.id} but is not in its register, {register.folder}"
        cleaned.left.append(f"{words}\n  next: {how}")
    gone = len(cleaned.left) == before
    for name in register.foreign():
        cleaned.left.append(f"{name!r} is not of {register.id}, though its register says so: {register.folder}")
    return gone


def _end_processes(spaces: list[Namespace], register: Register, cleaned: Cleaned) -> None:
    """Kills what runs in these namespaces, if it started after the register's owner; says who else is there."""
    # A name of ours may have been made to lead to this machine's own network, where everything else runs.
    inodes = {inode for space in spaces if (inode := space.inode()) is not None} - set(_machines_own())
    since, others = register.since(), set[str]()
    deadline = time.monotonic() + _ENDING_S
    while inodes and (ended := [process for pid in _pids() if (process := _end(pid, inodes, since, others))]):
        cleaned.processes += [process for process in ended if process not in cleaned.processes]
        if time.monotonic() > deadline:
            cleaned.left.append(f"{', '.join(ended)}: killed, and still there after {_ENDING_S:g} s")
            break
        time.sleep(0.02)
    if others:
        known = "did not start after its owner" if since is not None else "its register does not say since when"
        pids = " ".join(sorted(process.split()[0] for process in others))
        words = f"{', '.join(sorted(others))}: in namespaces of {register.id}, but {known}"
        cleaned.left.append(f"{words}\n  next: ps {pids}, and kill what is not to run")


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != os.getpid()]


def _end(pid: int, inodes: set[int], since: int | None, others: set[str]) -> str | None:
    """Kills a process that is in one of these network namespaces and started at or after `since`; "pid command" of one
    that ran. One that is there and older is added to the others.

    It is looked at while a handle of it is open: a number that comes to another process meanwhile gets nobody killed.
    """
    folder = Path(f"/proc/{pid}")
    try:
        if (folder / "ns/net").stat().st_ino not in inodes:
            return None
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        start = start_time(pid)
        if start is None or (folder / "ns/net").stat().st_ino not in inodes:
            return None
        process = f"{pid} {(folder / 'comm').read_text(encoding='utf-8', errors='replace').strip()}"
        if since is None or start < since:
            others.add(process)
            return None
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return None
    else:
        return process
    finally:
        os.close(handle)


def _machines_own() -> Iterator[int]:
    """The network namespaces of this process and of this machine's init."""
    for process in ("self", "1"):
        with contextlib.suppress(PermissionError):
            yield Path(f"/proc/{process}/ns/net").stat().st_ino


@contextlib.contextmanager
def _noted(cleaned: Cleaned, what: str) -> Iterator[None]:
    """Says what could not be removed, and why, and goes on with the rest."""
    try:
        yield
    except (OSError, Problem) as error:
        cleaned.left.append(f"{what}: {error}")


def clean(labs: Path = LABS, testbeds: Path = TESTBEDS) -> Cleaned:
    """Removes every lab whose owner is gone, and what testbeds left running whose nodes are dead; touches no other.

    A testbed's folder stays: what its nodes have written is removed by purging it only.
    """
    cleaned = Cleaned()
    for register in registers(labs):
        with _noted(cleaned, str(register.folder)):
            if not register.owned():
                remove(register, cleaned)
    for register in registers(testbeds):
        before = len(cleaned.namespaces) + len(cleaned.cgroups)
        with _noted(cleaned, str(register.folder)):
            if not register.owned():
                take_down(register, cleaned)
        if len(cleaned.namespaces) + len(cleaned.cgroups) > before:
            cleaned.labs.append(register.id)
    return cleaned
