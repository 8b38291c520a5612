"""What this machine has and lacks for the QEMU lab, each with the next command."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from migrascope.model.plan import Plan
from migrascope.node.place import CACHE

Verdict = Literal["pass", "fail", "unknown"]
_WANTED_BYTES = 4 * 10**9


@dataclass(frozen=True)
class Check:
    """One thing that a lab needs. remedy: the next command where it is missing."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def checks() -> list[Check]:
    """Everything that the QEMU lab needs of this machine, without changing anything."""
    root = os.geteuid() == 0
    found = [Check("root", "pass" if root else "fail", f"user id {os.geteuid()}", "run it with sudo")]
    tun = Path("/dev/net/tun").exists()
    remedy = "modprobe tun, or in a container give it the device /dev/net/tun"
    found.append(Check("/dev/net/tun", "pass" if tun else "fail", "there" if tun else "missing", remedy))
    for program, package in (("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("unshare", "util-linux")):
        path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        found.append(Check(program, "pass" if path else "fail", path or "missing", f"apt-get install {package}"))
    folder = next(path for path in (CACHE, *CACHE.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    enough = free >= _WANTED_BYTES
    words = f"{free / 1e9:.1f} GB free on {folder}, {_WANTED_BYTES / 1e9:.0f} GB wanted"
    found.append(Check("space", "pass" if enough else "fail", words, f"free some space on {folder}"))
    return found


def problems_of(plan: Plan) -> list[str]:
    """What is missing here for a plan on the QEMU lab, one sentence each with the next command."""
    missing = [check for check in checks() if check.verdict == "fail"]
    problems = [f"{check.name}: {check.found}; {check.remedy}" for check in missing]
    program = plan.lab.qemu_program
    if program is not None and not os.access(program, os.X_OK):
        problems.append(f"lab.qemu_program: {program} is no program; name the path of a QEMU")
    return problems
