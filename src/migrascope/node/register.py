"""The ownership register: what a lab is about to make is written down first, so that `clean` needs no guessing.

/var/lib/migrascope/labs/<id>/register.ndjson holds the owner (pid and its start time) and each resource. Every
process of a lab runs in one of its namespaces and dies with its parent, so namespaces, processes and the folder are all
there is.
"""

import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from migrascope.node.namespace import Namespace
from migrascope.node.place import LABS


def start_time(pid: int) -> int | None:
    """The clock tick at which a process started, which with its pid names it for good; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


class Register:
    """The register of a lab of ours, in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self._file = folder / "register.ndjson"

    @classmethod
    def create(cls, labs: Path = LABS) -> "Register":
        """A new lab's folder and register, owned by this process."""
        labs.mkdir(parents=True, exist_ok=True)
        register = cls(labs / f"ms{secrets.token_hex(3)}")
        register.folder.mkdir(mode=0o700)
        register._add({"kind": "owner", "pid": os.getpid(), "start": start_time(os.getpid())})
        return register

    def _add(self, entry: dict[str, object]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def namespace(self, role: str) -> Namespace:
        """A namespace of this lab that may be made from now on."""
        name = f"{self.id}-{role}"
        self._add({"kind": "namespace", "name": name})
        return Namespace(name)

    def entries(self) -> Iterator[dict[str, object]]:
        """All whole lines."""
        try:
            lines = self._file.read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return
        for line in lines:
            yield json.loads(line)

    def owned(self) -> bool:
        """Whether the process that made the lab still runs. A folder without an owner's line is younger than that."""
        for entry in self.entries():
            if entry["kind"] == "owner":
                return start_time(int(str(entry["pid"]))) == entry["start"]
        return time.time() - self.folder.stat().st_mtime < 5

    def namespaces(self) -> list[Namespace]:
        return [Namespace(str(entry["name"])) for entry in self.entries() if entry["kind"] == "namespace"]


@dataclass
class Cleaned:
    """What was removed, for people: names of labs, namespaces, and processes as "pid command"."""

    labs: list[str] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)


def registers(labs: Path = LABS) -> list[Register]:
    """All labs whose folder is there, running ones too."""
    return [Register(path) for path in sorted(labs.iterdir())] if labs.exists() else []


def remove(register: Register, cleaned: Cleaned) -> None:
    """Removes all that a lab left: its processes by their namespaces, its namespaces, its folder."""
    spaces = register.namespaces()
    inodes = {inode for space in spaces if (inode := space.inode()) is not None}
    deadline = time.monotonic() + 10
    while inodes and (inside := list(_processes_in(inodes))) and time.monotonic() < deadline:
        for pid, command in inside:
            label = f"{pid} {command}"
            if label not in cleaned.processes:
                cleaned.processes.append(label)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    for space in spaces:
        if space.path.exists():
            space.delete()
            cleaned.namespaces.append(space.name)
    shutil.rmtree(register.folder, ignore_errors=True)
    cleaned.labs.append(register.id)


def _processes_in(inodes: set[int]) -> Iterator[tuple[int, str]]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                if (path / "ns/net").stat().st_ino in inodes and start_time(int(path.name)) is not None:
                    yield int(path.name), (path / "comm").read_text().strip()
            except OSError:
                continue


def clean(labs: Path = LABS) -> Cleaned:
    """Removes every lab whose owner is gone, and touches no other."""
    cleaned = Cleaned()
    for register in registers(labs):
        if not register.owned():
            remove(register, cleaned)
    return cleaned
