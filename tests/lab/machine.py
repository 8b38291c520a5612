"""What of a lab is on this machine: for tests that nothing is left of ours, and nothing else is touched."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrascope.node.namespace import NETNS
from migrascope.node.paths import LABS
from migrascope.node.register import registers
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder

COMMAND = [sys.executable, "-m", "migrascope"]
LIGHT = """
[probes]
dirty = false
echo_rate = 100
[visitors]
new_rate = 5
kept_rate = 5
viewers = 1
"""
"""Part of a plan: a load that every machine bears, and for which no run searches."""
LIGHT_EACH = """
[probes]
dirty = false
echo_rate = 50
[visitors]
new_rate = 1.5
kept_rate = 1.5
viewers = 1
"""
"""The same of a plan with both families, each of which has half of it or less; with as many viewers."""


def migrascope(*arguments: str, timeout_s: float = 600, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    argv, env = [*COMMAND, *arguments], os.environ | environment
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False, env=env)


def only_trial(folder: Path, plan: str) -> Recording:
    """The recording of a plan that has one trial, which must be ok. folder: an empty one."""
    (folder / "plan.toml").write_text(plan)
    done = migrascope("run", str(folder / "plan.toml"), "--runs", str(folder / "runs"))
    assert done.returncode == 0, done.stderr
    (found,) = RunFolder(folder / "runs" / "latest").recordings()
    assert found.trial.status == "ok", found.trial.reason
    return found


def bound(source: Path, target: Path) -> list[str]:
    """The command that puts a file or folder in place of another."""
    return ["mount", "--bind", str(source), str(target)]


def where(mounts: Sequence[list[str]], *arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """The command, run to its end where it sees these mounts, which nobody else does."""
    script = "\n".join(shlex.join(words) for words in [*mounts, ["exec", *COMMAND, *arguments]])
    argv = ["unshare", "--mount", "sh", "-euc", script]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)


def json_of(*arguments: str) -> Any:
    """What a verb prints with --json."""
    done = migrascope(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def owned_by(pid: int) -> set[str]:
    """The ids of the labs that a process has made and not yet removed."""
    found = set()
    for register in registers(LABS):
        # it may be being written, or removed
        with contextlib.suppress(OSError, ValueError):
            lines = (register.folder / "register.ndjson").read_text(encoding="utf-8").splitlines()
            if [entry["pid"] for entry in map(json.loads, lines) if entry["kind"] == "owner"] == [pid]:
                found.add(register.id)
    return found


@dataclass
class Traces:
    """What is there of one lab; all empty when it is gone."""

    namespaces: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


GONE = Traces()


def traces(lab: str) -> Traces:
    """Everything on this machine that carries a lab's id: it is in every namespace's name, path and command line."""
    found = Traces()
    found.namespaces = [path.name for path in NETNS.iterdir() if lab in path.name] if NETNS.exists() else []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if lab in command and state not in "ZX":
                found.processes.append(f"{path.name} {command[:120]}")
    found.mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if lab in line]
    found.folders = [str(LABS / lab)] if (LABS / lab).exists() else []
    return found


def foreign() -> dict[str, set[str]]:
    """Links, mounts and cgroups of this machine that no lab may change; those of other labs come and go."""
    mounts = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    return {
        "links": {path.name for path in Path("/sys/class/net").iterdir()},
        "mounts": {mount for mount in mounts if not mount.startswith("/run/netns")},
        "cgroups": {
            str(path) for path in Path("/sys/fs/cgroup").glob("*/*") if path.is_dir() and not path.name.startswith("ms")
        },
    }


def sysctls() -> set[tuple[str, str]]:
    """This machine's settings, without those that count or time something."""
    volatile = (
        "random",
        "nr-",
        "-nr",
        ".nr",
        "count",
        "-state",
        "uuid",
        "pid",
        "ns_last",
        "stat",
        "sched_domain",
        "quota",
    )
    found = set()
    for path in Path("/proc/sys").rglob("*"):
        key = str(path.relative_to("/proc/sys")).replace("/", ".")
        if not any(word in key for word in volatile):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found.add((key, path.read_text()))
    return found


def listening() -> set[tuple[str, int]]:
    """(address, port) of every TCP socket that listens in this network namespace; IPv6 as the kernel writes it."""
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path("/proc/net", table).read_text().splitlines()[1:]:
            local, state = row.split()[1], row.split()[3]
            address, _, port = local.rpartition(":")
            if state == "0A":
                packed = bytes.fromhex(address)[::-1]
                found.add((".".join(map(str, packed)) if len(packed) == 4 else address, int(port, 16)))
    return found
