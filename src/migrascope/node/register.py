"""The ownership register: what a lab or a testbed is about to make is written down first, so that `clean` needs no
guessing.

<id>/register.ndjson in /var/lib/migrascope/labs or .../testbeds holds the owner (pid and its start time) and each
resource. A lab's processes run in its namespaces and die with their parent. A testbed's nodes outlive the command that
started them and are found by their namespace; its folder is state, which stays until it is purged.

A register is read as root by whoever cleans up, so it is not believed: each line is an entry of a known kind or is
passed over, and what does not begin with the register's own id is not its own.
"""

import contextlib
import fcntl
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from migrascope.model.name import OURS
from migrascope.model.problem import Problem
from migrascope.node import memory
from migrascope.node.container import inits
from migrascope.node.namespace import NETNS, Namespace
from migrascope.node.paths import LABS, TESTBEDS

_ID = re.compile(f"ms([0-9a-f]{{6}}|-{OURS.pattern})")
_FILE = "register.ndjson"
_MOST_BYTES = 2**20
"""The largest register that is read; a large testbed's holds a few kB."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_YOUNG_S = 5.0
"""So long a folder may be there before its owner has claimed it."""


class _Entry(BaseModel):
    """A line of a register. Keys that a newer version writes are passed over."""

    model_config = ConfigDict(frozen=True, strict=True)


class _Owner(_Entry):
    """pid and start (the clock tick, proc(5)) together name a process."""

    kind: Literal["owner"] = "owner"
    pid: int = Field(gt=0, le=2**22)
    start: int = Field(ge=0, lt=2**63)


class _Lasting(_Entry):
    kind: Literal["lasting"] = "lasting"


class _Namespace(_Entry):
    kind: Literal["namespace"] = "namespace"
    name: str = Field(max_length=255)


class _Cgroup(_Entry):
    kind: Literal["cgroup"] = "cgroup"
    path: str = Field(max_length=4096)


class _Images(_Entry):
    kind: Literal["images"] = "images"
    paths: list[Annotated[str, Field(max_length=4096)]]


_ANY: TypeAdapter[_Owner | _Lasting | _Namespace | _Cgroup | _Images] = TypeAdapter(
    Annotated[_Owner | _Lasting | _Namespace | _Cgroup | _Images, Field(discriminator="kind")]
)
_Kind = TypeVar("_Kind", bound=_Entry)


@dataclass(frozen=True)
class _Read:
    """What a register holds. damage: why that may not be all that was written; empty where it is."""

    entries: list[_Entry]
    damage: str = ""

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        return [entry for entry in self.entries if isinstance(entry, kind)]


def start_time(pid: int) -> int | None:
    """The clock tick at which a process started, which with its pid names it for good; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


class Register:
    """The register of a lab or testbed of ours, in its folder. ValueError for a folder of another kind of name."""

    def __init__(self, folder: Path) -> None:
        if not _ID.fullmatch(folder.name):
            raise ValueError(f"{folder} is no folder of a lab or testbed")
        self.folder = folder
        self.id = folder.name
        self._file = folder / _FILE

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
        with contextlib.suppress(FileExistsError):
            register.folder.mkdir(mode=0o700)
        if register.folder.is_symlink() or not register.folder.is_dir():
            raise Problem(f"{register.folder} is no folder, and nothing is kept there\n  next: rm {register.folder}")
        register._add(_Lasting())
        return register

    def claim(self) -> None:
        """Makes this process the owner, for as long as it runs.

        A lock of the folder, which nobody closes, says so, whatever becomes of the file; the line is for versions
        that look at no lock, and says since when processes may be ours.
        """
        fcntl.flock(os.open(self.folder, _FOLDER), fcntl.LOCK_SH)
        start = start_time(os.getpid())
        assert start is not None, "this process runs"
        self._add(_Owner(pid=os.getpid(), start=start))

    def _add(self, entry: _Entry) -> None:
        if entry in self._read().entries:
            return
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(self._file, flags, 0o600), "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            file.write((b"\n" if torn else b"") + entry.model_dump_json().encode() + b"\n")
            os.fsync(file.fileno())

    def _read(self) -> _Read:
        """All whole lines of a kind. What follows the last line's end is torn by a kill, and no damage: what a line
        names is made after it is written."""
        try:
            handle = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return _Read([])
        except OSError as error:
            return _Read([], f"it cannot be opened ({error.strerror})")
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            return _Read([], "it is no file")
        with open(handle, "rb") as file:
            text = file.read(_MOST_BYTES + 1)
        damage = f"it has more than {_MOST_BYTES} bytes" if len(text) > _MOST_BYTES else ""
        entries: list[_Entry] = []
        for number, line in enumerate(text.split(b"\n")[:-1], 1):
            try:
                entries.append(_ANY.validate_json(line))
            except ValidationError:
                damage = damage or f"its line {number} is no entry"
        return _Read(entries, damage)

    def namespace(self, role: str) -> Namespace:
        """A namespace of this lab that may be made from now on."""
        name = f"{self.id}-{OURS.check(role)}"
        self._add(_Namespace(name=name))
        return Namespace(name)

    def cgroup(self, path: Path) -> None:
        """Writes down a cgroup that may be made from now on."""
        self._add(_Cgroup(path=str(path)))

    def uses(self, *images: Path) -> None:
        """Writes down images, or files of them, of which it is made: they stay in the cache as long as it is there."""
        self._add(_Images(paths=[str(path) for path in images]))

    def images(self) -> list[Path] | None:
        """What it is made of; None where it does not say, or may have said more."""
        read = self._read()
        paths = [Path(path) for entry in read.of(_Images) for path in entry.paths]
        return None if read.damage else paths or None

    @property
    def lasts(self) -> bool:
        """Whether it is a testbed's, whose folder is kept."""
        return bool(self._read().of(_Lasting))

    def owned(self) -> bool:
        """Whether a process that made it still runs, or a node of it does.

        A folder that nobody has claimed is left for a while: its owner is about to.
        """
        owners = self._read().of(_Owner)
        if self._locked() or any(start_time(owner.pid) == owner.start for owner in owners):
            return True
        if self.lasts:
            inodes = [inode for space in self.namespaces() if (inode := space.inode()) is not None]
            return any(any(inits(inode)) for inode in inodes)
        return not owners and abs(time.time() - _changed(self.folder)) < _YOUNG_S

    def _locked(self) -> bool:
        """Whether a living process has claimed it."""
        try:
            handle = os.open(self.folder, _FOLDER)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def since(self) -> int | None:
        """The clock tick before which no process can be one of its own; None where it does not say."""
        return min((owner.start for owner in self._read().of(_Owner)), default=None)

    def _own(self, name: str) -> bool:
        """Whether it is a name of its own, and not of another testbed whose name begins like this one's."""
        rest = name.removeprefix(f"{self.id}-")
        if rest == name or not OURS.fits(rest):
            return False
        return not any(name.startswith(f"{other.name}-") for other in self.folder.parent.glob(f"{self.id}-*"))

    def namespaces(self) -> list[Namespace]:
        """Those of its own that were written down."""
        return [Namespace(entry.name) for entry in self._read().of(_Namespace) if self._own(entry.name)]

    def cgroups(self) -> list[Path]:
        """Those of its own that were written down."""
        places = memory.places()
        paths = [Path(entry.path) for entry in self._read().of(_Cgroup)]
        return [path for path in paths if path.parent in places and self._own(path.name)]

    def foreign(self) -> list[str]:
        """Namespaces and cgroups that were written down and are there, but are not its own."""
        read = self._read()
        written = {NETNS / entry.name for entry in read.of(_Namespace)}
        written |= {Path(entry.path) for entry in read.of(_Cgroup)}
        own = {space.path for space in self.namespaces()} | set(self.cgroups())
        return [str(path) for path in sorted(written - own) if os.path.lexists(path)]

    def unlisted(self) -> list[str]:
        """Namespaces and cgroups that have a name of its own and were not written down, as far as it can be read."""
        named = {path for place in (NETNS, *memory.places()) for path in place.glob(f"{self.id}-*")}
        own = {space.path for space in self.namespaces()} | set(self.cgroups())
        return [str(path) for path in sorted(named - own) if self._own(path.name)]


def _changed(path: Path) -> float:
    """When it was last changed; the Epoch where it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def registers(labs: Path = LABS) -> list[Register]:
    """All labs whose folder is there, running ones too."""
    found = sorted(labs.iterdir()) if labs.exists() else []
    return [Register(path) for path in found if _ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]


def alive() -> set[str]:
    """The ids of the labs of this machine that are in use."""
    return {register.id for register in registers() if register.owned()}
