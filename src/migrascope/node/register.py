"""The ownership register: what a lab or a testbed is about to make is written down first, so that `clean` needs no
guessing.

<id>/register.ndjson in /var/lib/migrascope/labs or .../testbeds holds the owner (pid and its start time) and each
resource. A lab's processes run in its namespaces and die with their parent. A testbed's nodes outlive the command that
started them and are found by their namespace; its folder is state, which stays until it is purged.

A register is read as root by whoever cleans up, so it is not believed: what does not begin with its own id is never
touched.
"""

import contextlib
import json
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from migrascope.model.name import OURS
from migrascope.node import cgroup, memory
from migrascope.node.container import inits
from migrascope.node.namespace import NETNS, Namespace
from migrascope.node.place import LABS, TESTBEDS
from migrascope.store.removal import NotRemoved, remove_tree

_ID = re.compile(f"ms([0-9a-f]{{6}}|-{OURS.pattern})")


def start_time(pid: int) -> int | None:
    """The clock tick at which a process started, which with its pid names it for good; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


class Register:
    """The register of a lab or testbed of ours, in its folder. ValueError for a folder of another kind of name."""

    def __init__(self, folder: Path) -> None:
        if not _ID.fullmatch(folder.name):
            raise ValueError(f"{folder} is no folder of a lab or testbed")
        self.folder = folder
        self.id = folder.name
        self._file = folder / "register.ndjson"

    @classmethod
    def create(cls, labs: Path = LABS) -> "Register":
        """A new lab's folder and register, owned by this process."""
        labs.mkdir(parents=True, exist_ok=True)
        register = cls(labs / f"ms{secrets.token_hex(3)}")
        register.folder.mkdir(mode=0o700)
        register.claim()
        return register

    @classmethod
    def lasting(cls, name: str, testbeds: Path = TESTBEDS) -> "Register":
        """A testbed's register, with a new folder unless it is there; it has no owner until it is claimed."""
        testbeds.mkdir(parents=True, exist_ok=True)
        register = cls(testbeds / name)
        register.folder.mkdir(mode=0o700, exist_ok=True)
        register._add({"kind": "lasting"})
        return register

    def claim(self) -> None:
        """Makes this process the owner, for as long as it runs."""
        self._add({"kind": "owner", "pid": os.getpid(), "start": start_time(os.getpid())})

    def _add(self, entry: dict[str, object]) -> None:
        if entry in self.entries():
            return
        with self._file.open("a", encoding="utf-8") as file:
            torn = file.tell() > 0 and not self._file.read_bytes().endswith(b"\n")
            file.write(("\n" if torn else "") + json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def namespace(self, role: str) -> Namespace:
        """A namespace of this lab that may be made from now on."""
        name = f"{self.id}-{OURS.check(role)}"
        self._add({"kind": "namespace", "name": name})
        return Namespace(name)

    def cgroup(self, path: Path) -> None:
        """Writes down a cgroup that may be made from now on."""
        self._add({"kind": "cgroup", "path": str(path)})

    def uses(self, *images: Path) -> None:
        """Writes down images, or files of them, of which it is made: they stay in the cache as long as it is there."""
        self._add({"kind": "images", "paths": [str(path) for path in images]})

    def images(self) -> list[Path] | None:
        """What it is made of; None where it does not say."""
        lists = [entry.get("paths") for entry in self.entries() if entry["kind"] == "images"]
        paths = [path for some in lists if isinstance(some, list) for path in some if isinstance(path, str)]
        return [Path(path) for path in paths] or None

    def entries(self) -> Iterator[dict[str, object]]:
        """All whole lines of a kind."""
        try:
            lines = self._file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
        except (FileNotFoundError, NotADirectoryError):
            return
        for line in lines:
            with contextlib.suppress(ValueError):  # torn by a kill
                entry = json.loads(line)
                if isinstance(entry, dict) and "kind" in entry:
                    yield entry

    def _values(self, kind: str, key: str) -> list[str]:
        return [str(entry.get(key)) for entry in self.entries() if entry["kind"] == kind]

    @property
    def lasts(self) -> bool:
        """Whether it is a testbed's, whose folder is kept."""
        return any(entry["kind"] == "lasting" for entry in self.entries())

    def owned(self) -> bool:
        """Whether a process that made it still runs, or a node of it does.

        A folder without an owner's line is younger than that.
        """
        owners = [entry for entry in self.entries() if entry["kind"] == "owner"]
        if any(_runs(entry.get("pid"), entry.get("start")) for entry in owners):
            return True
        if self.lasts:
            inodes = [inode for space in self.namespaces() if (inode := space.inode()) is not None]
            return any(any(inits(inode)) for inode in inodes)
        return not owners and time.time() - self.folder.stat().st_mtime < 5

    def _own(self, name: str) -> bool:
        return name.startswith(f"{self.id}-") and OURS.fits(name.removeprefix(f"{self.id}-"))

    def namespaces(self) -> list[Namespace]:
        """Those of its own that were written down."""
        return [Namespace(name) for name in self._values("namespace", "name") if self._own(name)]

    def cgroups(self) -> list[Path]:
        """Those of its own that were written down."""
        places = memory.places()
        paths = [Path(path) for path in self._values("cgroup", "path")]
        return [path for path in paths if path.parent in places and self._own(path.name)]

    def strange(self) -> list[str]:
        """Namespaces and cgroups that were written down and are there, but are not its own."""
        spaces, own = self._values("namespace", "name"), {space.name for space in self.namespaces()}
        paths = [str(NETNS / name) for name in spaces if name not in own]
        paths += sorted(set(self._values("cgroup", "path")) - {str(path) for path in self.cgroups()})
        return [path for path in paths if os.path.lexists(path)]


def _runs(pid: object, start: object) -> bool:
    """Whether the process that started at that tick still runs."""
    return isinstance(pid, int) and isinstance(start, int) and start_time(pid) == start


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


def registers(labs: Path = LABS) -> list[Register]:
    """All labs whose folder is there, running ones too."""
    found = sorted(labs.iterdir()) if labs.exists() else []
    return [Register(path) for path in found if _ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]


def remove(register: Register, cleaned: Cleaned) -> None:
    """Removes all that a lab left: its processes, namespaces and cgroups, its folder."""
    take_down(register, cleaned)
    try:
        if remove_tree(register.folder, register.folder.parent):
            cleaned.labs.append(register.id)
    except NotRemoved as problem:
        cleaned.left.append(str(problem))


def take_down(register: Register, cleaned: Cleaned) -> None:
    """Removes what a lab or testbed has on this machine outside its folder: processes by their namespaces, namespaces,
    cgroups."""
    spaces = register.namespaces()
    # A name of ours may have been made to lead to this machine's own network, where everything else runs.
    inodes = {inode for space in spaces if (inode := space.inode()) is not None} - set(_machines_own())
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
    cleaned.cgroups += [path.name for path in register.cgroups() if cgroup.remove(path)]
    for name in register.strange():
        cleaned.left.append(f"{name!r} is not of {register.id}, though its register says so: {register.folder}")


def _machines_own() -> Iterator[int]:
    """The network namespaces of this process and of this machine's init."""
    for process in ("self", "1"):
        with contextlib.suppress(PermissionError):
            yield Path(f"/proc/{process}/ns/net").stat().st_ino


def _processes_in(inodes: set[int]) -> Iterator[tuple[int, str]]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                if (path / "ns/net").stat().st_ino in inodes and start_time(int(path.name)) is not None:
                    yield int(path.name), (path / "comm").read_text().strip()
            except OSError:
                continue


def clean(labs: Path = LABS, testbeds: Path = TESTBEDS) -> Cleaned:
    """Removes every lab whose owner is gone, and what testbeds left running whose nodes are dead; touches no other.

    A testbed's folder stays: what its nodes have written is removed by purging it only.
    """
    cleaned = Cleaned()
    for register in registers(labs):
        if not register.owned():
            remove(register, cleaned)
    for register in registers(testbeds):
        before = len(cleaned.namespaces) + len(cleaned.cgroups)
        if not register.owned():
            take_down(register, cleaned)
            if len(cleaned.namespaces) + len(cleaned.cgroups) > before:
                cleaned.labs.append(register.id)
    return cleaned
