"""A Python of this machine that has libvirt's module: it is no dependency of ours, for it is built for one libvirt."""

import shutil
import subprocess
import sys

from migrascope.model.problem import Problem

_TRY = "import libvirt, libvirt_qemu"
_LIMIT_S = 20.0
PACKAGES = "apt-get install python3-libvirt, or dnf install python3-libvirt"


class NoModule(Problem):
    """No Python here has libvirt's module."""


def python_with_libvirt() -> str:
    """This one, the first python3 on the PATH, or the system's: the first that has it. NoModule, with what to
    install."""
    for path in dict.fromkeys((sys.executable, shutil.which("python3"), "/usr/bin/python3")):
        if path and _has(path):
            return path
    raise NoModule(f"no Python of this machine has libvirt's module\n  next: {PACKAGES}")


def _has(path: str) -> bool:
    try:
        done = subprocess.run(
            [path, "-c", _TRY], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
