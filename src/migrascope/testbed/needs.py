"""What a testbed needs of this machine, looked at before anything is changed."""

import os
import shutil
from pathlib import Path

from migrascope.model.problem import Problem
from migrascope.model.units import human
from migrascope.node import cgroup
from migrascope.node.container import PROGRAM
from migrascope.node.paths import CACHE, STATE

MEMORY_BYTES = 6_500_000_000
DISK_BYTES = 5_000_000_000
_PACKAGES = {PROGRAM: "systemd-container", "nsenter": "util-linux", "mmdebstrap": "mmdebstrap"}


def missing(
    meminfo: Path = Path("/proc/meminfo"),
    filesystems: Path = Path("/proc/filesystems"),
    *,
    images_bytes: int = 0,
    claimed_bytes: int = 0,
) -> list[str]:
    """One sentence for each thing that is missing here, with the next command; nothing is changed.

    images_bytes: what is still to be built into the cache. claimed_bytes: the memory that others will still take.
    """
    if os.geteuid() != 0:
        return ["root: run it with sudo"]
    found = [
        f"{program}: apt-get install {package}"
        for program, package in _PACKAGES.items()
        if shutil.which(program) is None
    ]
    # A kernel that has it as a module loads it at the first mount.
    modules = list(Path("/lib/modules").glob(f"{os.uname().release}/kernel/fs/overlayfs/*"))
    if "overlay" not in filesystems.read_text(encoding="utf-8").split() and not modules:
        found.append("overlayfs: another kernel, or modprobe overlay")
    try:
        cgroup.hierarchy()
    except Problem as problem:
        found.append(str(problem))
    lines = dict(line.split(":") for line in meminfo.read_text(encoding="utf-8").splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    if available - claimed_bytes < MEMORY_BYTES:
        claimed = f", {human(claimed_bytes, 'B')} of it left to other testbeds" if claimed_bytes else ""
        found.append(
            f"memory: {human(available, 'B')} available{claimed}, {human(MEMORY_BYTES, 'B')} wanted for a testbed"
            " without guests; stop something (another testbed: migrascope testbed down)"
        )
    folder, cache = _there(STATE), _there(CACHE)
    wanted = DISK_BYTES + (images_bytes if folder.stat().st_dev == cache.stat().st_dev else 0)
    free = shutil.disk_usage(folder).free
    if free < wanted:
        found.append(f"space: {human(free, 'B')} free on {folder}, {human(wanted, 'B')} wanted: df -h {folder}")
    return found


def _there(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())
