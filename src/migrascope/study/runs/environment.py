"""What the run ran on, as the manifest and the report name it."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

from migrascope import __version__
from migrascope.node.paths import STATE

CALIBRATION = STATE / "calibration.json"
"""What `calibrate` has measured on this machine."""
_CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def environment() -> dict[str, Any]:
    """CPU model, cores, memory (bytes), kernel, TCP's congestion control, on which depends what a migration holds in
    its buffers, distribution, and versions; nothing that names the machine's owner."""
    return {
        "cpu": _after(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": 1024 * int((_after(Path("/proc/meminfo"), "MemTotal") or "0").split()[0]),
        "kernel": platform.release(),
        "congestion_control": _CONGESTION_CONTROL.read_text(encoding="ascii").strip(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "python": platform.python_version(),
        "migrascope": __version__,
    }


def _after(path: Path, key: str) -> str | None:
    for line in path.read_text().splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return None


def manifest(seed: int, plan_name: str, **facts: Any) -> dict[str, Any]:
    """What manifest.json holds beside the run's id and schema."""
    return {"plan": plan_name, "seed": seed, "argv": sys.argv[1:], "environment": environment(), **facts}
