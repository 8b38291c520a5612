"""Registers of labs whose owner is dead, and what they are cleaned away from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrascope.node import memory
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove


def of_a_dead_process(labs: Path) -> Register:
    code = "import sys; from pathlib import Path; from migrascope.node.register import Register as R; "
    code += "print(R.create(Path(sys.argv[1])).id)"
    made = subprocess.run([sys.executable, "-c", code, str(labs)], capture_output=True, text=True, check=True)
    return Register(labs / made.stdout.strip())


def planted(labs: Path, *entries: object) -> Register:
    """The register of a dead lab, in which somebody has written."""
    folder = labs / "ms00000a"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "register.ndjson").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    os.utime(folder, (0, 0))
    return Register(folder)


def owner(pid: int, start: int | None) -> dict[str, object]:
    return {"kind": "owner", "pid": pid, "start": start}


def netns_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Path:
    """A folder of namespaces of these names, which are files, and no cgroups."""
    for module in ("namespace", "register", "takedown"):
        monkeypatch.setattr(f"migrascope.node.{module}.NETNS", folder / "netns")
    monkeypatch.setattr(memory, "places", lambda: [folder / "cgroup"])
    (folder / "netns").mkdir()
    for name in names:
        (folder / "netns" / name).write_text("")
    return folder / "netns"


def clean_one(register: Register) -> Cleaned:
    cleaned = Cleaned()
    remove(register, cleaned)
    return cleaned
