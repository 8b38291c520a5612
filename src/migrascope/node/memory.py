"""The memory of one process, limited while it runs: a cgroup of its own, of the version that has the controller."""

import contextlib
from pathlib import Path

from migrascope.model.problem import Problem
from migrascope.node import cgroup

_FIRST = cgroup.ROOT / "memory"


def places() -> list[Path]:
    """Where our cgroups are made: those of nodes, and those that limit memory."""
    with contextlib.suppress(Problem):
        return [_FIRST, cgroup.hierarchy()]
    return [_FIRST]


def place(name: str) -> Path:
    """Where a cgroup of that name with a memory limit goes. Problem where no hierarchy here has the controller."""
    if (_FIRST / "memory.limit_in_bytes").exists():
        return _FIRST / name
    root = cgroup.hierarchy()
    if "memory" in (root / "cgroup.subtree_control").read_text(encoding="utf-8").split():
        return root / name
    raise Problem(
        "no cgroup here can limit memory: the controller `memory` is in no hierarchy that we may use\n"
        f"  next: echo +memory > {root}/cgroup.subtree_control"
    )


class MemoryLimit:
    """A cgroup, and a process that may move into it. What the process held before is not counted."""

    def __init__(self, path: Path) -> None:
        """path: from `place`; it is made. Problem where the kernel refuses."""
        self._path = path
        first = path.is_relative_to(_FIRST)
        self._limit, self._usage, self._none = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "-1")
            if first
            else ("memory.max", "memory.current", "max")
        )
        self._swap = "memory.memsw.limit_in_bytes" if first else "memory.swap.max"
        cgroup.create(path)

    def hold(self, pid: int) -> None:
        """Moves a process there. OSError where the kernel refuses."""
        (self._path / "cgroup.procs").write_text(str(pid))

    def set(self, more_bytes: int) -> int:
        """Lets it have so much more than it holds, and no swap: the kernel kills what wants more. Gives the limit."""
        limit = int((self._path / self._usage).read_text()) + more_bytes
        (self._path / self._limit).write_text(str(limit))
        with contextlib.suppress(OSError):  # a kernel that does not count swap
            (self._path / self._swap).write_text(str(limit) if "memsw" in self._swap else "0")
        return limit

    def lift(self) -> None:
        """No limit, and its processes are among their parent's again; the cgroup goes."""
        if not self._path.exists():
            return
        for name in (self._swap, self._limit):
            with contextlib.suppress(OSError):
                (self._path / name).write_text(self._none)
        for pid in (self._path / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has just ended
                (self._path.parent / "cgroup.procs").write_text(pid)
        cgroup.remove(self._path)
