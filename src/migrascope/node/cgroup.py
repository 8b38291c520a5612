"""Cgroups of version 2, on machines where they are all there is and on those where version 1 has the controllers."""

import contextlib
import os
import re
import time
from pathlib import Path

from migrascope.model.problem import Problem

ROOT = Path("/sys/fs/cgroup")
# A container's end writes back what it has written, for its overlay is unmounted: slow on a busy disk.
_ENDING_S = 120.0


def hierarchy(mountinfo: Path = Path("/proc/self/mountinfo")) -> Path:
    """Where the cgroup2 hierarchy is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside version 1.

    Problem where it is not mounted at all.
    """
    found = [
        Path(line.split()[4])
        for line in mountinfo.read_text(encoding="utf-8").splitlines()
        if re.search(r" - cgroup2 ", line)
    ]
    if not found:
        raise Problem(
            "no cgroup2 hierarchy is mounted here, and systemd in a node needs one\n"
            f"  next: mkdir -p {ROOT}/unified && mount -t cgroup2 none {ROOT}/unified"
        )
    return ROOT if ROOT in found else found[0]


def own() -> bool:
    """Whether we may make cgroups by ourselves: not where this machine's systemd manages them all."""
    return not Path("/run/systemd/system").exists()


def create(path: Path) -> None:
    """Makes a cgroup; one that is there is taken. Problem where the kernel refuses."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise Problem(
            f"a cgroup cannot be made: {error}\n"
            "  next: in a container, give it writable cgroups of its own: --privileged --cgroupns=private"
        ) from error


def remove(path: Path) -> bool:
    """Removes a cgroup with all below it, whose processes have ended or are ending; whether it was there.

    Problem when processes stay in it.
    """
    if not path.exists():
        return False
    deadline = time.monotonic() + _ENDING_S
    while True:
        try:
            for folder, _, _ in os.walk(path, topdown=False):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(folder)
        except OSError as error:
            if time.monotonic() > deadline:
                raise Problem(f"the cgroup {path} cannot be removed ({error}): {_held(path)}") from error
            time.sleep(0.02)
        else:
            return True


def _held(path: Path) -> str:
    """Who is still in a cgroup, in words."""
    pids = [pid for file in path.rglob("cgroup.procs") for pid in file.read_text(encoding="utf-8").split()]
    return f"processes {', '.join(pids)} do not end" if pids else "no process is in it"


def usage_s(path: Path) -> float:
    """The processor time that all processes of a cgroup have taken, ended ones included. OSError when it is gone."""
    fields = dict(line.split() for line in (path / "cpu.stat").read_text(encoding="utf-8").splitlines())
    return int(fields["usage_usec"]) / 1e6


def of(pid: int) -> Path:
    """The cgroup of a process. OSError when it is gone."""
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            return hierarchy() / path.lstrip("/")
    raise ProcessLookupError(f"the process {pid} has no cgroup of version 2")
