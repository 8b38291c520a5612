"""How folders are removed with all that is in them: below a folder of ours alone, through no link, across no mount.

Migrascope runs as root, and what lies in its folders was partly written by guests, by nodes and by the users to whom
runs belong. So every recursive removal goes through `remove_tree`; the linter refuses shutil.rmtree.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from migrascope.model.problem import Problem

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SHOWN = 3
Mounts = Callable[[], list[Path]]


class NotRemoved(Problem):
    """What stays, and why."""


def mount_points(mountinfo: Path = Path("/proc/self/mountinfo")) -> list[Path]:
    """Where something is mounted, as this process sees it (proc(5): blanks are written as octal numbers there)."""
    fields = [line.split(" ")[4] for line in os.fsdecode(mountinfo.read_bytes()).split("\n")[:-1]]
    return [Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)) for field in fields]


def mount_id(handle: int) -> str:
    """Which mount an open file is on. Unlike the device, it differs for a bind mount of the same file system."""
    lines = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii").splitlines()
    return next((line for line in lines if line.startswith("mnt_id:")), "")


def remove_tree(path: Path, below: Path, mounts: Mounts = mount_points) -> bool:
    """Removes a folder with all that is in it, or a file, or a link as a link; whether there was anything.

    path: strictly below the folder `below`, which may be reached through links; on the way from there are none.
    NotRemoved, before anything is removed, where that is not so or something is mounted on the way or in it; and after
    all else is removed, where the kernel refuses for a part.
    """
    parts = path.relative_to(below).parts if path.is_relative_to(below) else ()
    if not parts or ".." in parts:
        raise NotRemoved(f"{path} is not removed: it is not a path below {below}")
    with contextlib.ExitStack() as stack:
        try:
            root = folder = _open(stack, below)
            for part in parts[:-1]:
                folder = _open(stack, part, folder)
            mode = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
            top = _open(stack, parts[-1], folder) if stat.S_ISDIR(mode) else None
        except FileNotFoundError:
            return False
        except OSError as error:
            through = error.errno in (errno.ELOOP, errno.ENOTDIR)
            why = "a link or a file is on the way to it" if through else str(error)
            raise NotRemoved(f"{path} is not removed: {why}\n  next: ls -la {path.parent}") from error
        left: list[str] = []
        _need_no_mount(path, _real(root), _real(folder) / parts[-1], mounts())
        if top is not None:
            with _noted(left, "."):
                _empty(top, mount_id(root), left)
        if not left:
            with _noted(left, "."):
                os.unlink(parts[-1], dir_fd=folder) if top is None else os.rmdir(parts[-1], dir_fd=folder)
    if left:
        more = f"; and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise NotRemoved(f"{path} is not wholly removed: {'; '.join(left[:_SHOWN])}{more}\n  next: ls -la {path}")
    return True


def _open(stack: contextlib.ExitStack, name: Path | str, parent: int | None = None) -> int:
    """An open folder, closed with the stack; one in an open folder is not reached through a link."""
    handle = os.open(name, _FOLDER | (0 if parent is None else os.O_NOFOLLOW), dir_fd=parent)
    stack.callback(os.close, handle)
    return handle


def _real(handle: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{handle}"))


def _need_no_mount(path: Path, root: Path, top: Path, mounts: list[Path]) -> None:
    """NotRemoved where something is mounted between a root and what is below it, there, or in it."""
    inside = [each for each in mounts if each != root and each.is_relative_to(root)]
    if crossed := sorted({each for each in inside if each.is_relative_to(top) or top.is_relative_to(each)}):
        listed = ", ".join(str(each) for each in crossed)
        unmount = " ".join(str(each) for each in reversed(crossed))
        raise NotRemoved(f"{path} is not removed, for something is mounted at {listed}\n  next: umount {unmount}")


@dataclass
class _Level:
    """A folder that is being emptied. path: from the top, for people; entries: name, and whether it is a folder;
    identity: its device and inode; kept: something stays in it."""

    name: str
    path: str
    entries: list[tuple[str, bool]]
    identity: tuple[int, int]
    kept: bool = False


def _empty(top: int, mount: str, left: list[str]) -> None:
    """Removes all that is in an open folder, and adds what stays, with the reason. mount: the one that is not left.

    One folder at a time is open and nothing is recursive, because a guest or a node can nest folders deeper than
    Python's stack and the limit of open files. OSError where a folder is moved away meanwhile.
    """
    here, levels = os.dup(top), [_Level("", "", _entries(top), _identity(top))]
    try:
        while levels[-1].entries or len(levels) > 1:
            level, before = levels[-1], len(left)
            if level.entries:
                name, is_folder = level.entries.pop()
                with _noted(left, level.path + name):
                    if is_folder:
                        here = _down(here, name, mount)
                        levels.append(_Level(name, f"{level.path}{name}/", [], _identity(here)))
                        levels[-1].entries += _entries(here)
                    else:
                        os.unlink(name, dir_fd=here)
                level.kept |= len(left) > before
            else:
                levels.pop()
                here = _up(here, levels[-1])
                if not level.kept:
                    with _noted(left, level.path):
                        os.rmdir(level.name, dir_fd=here)
                levels[-1].kept |= level.kept or len(left) > before
    finally:
        os.close(here)


def _identity(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


def _down(here: int, name: str, mount: str) -> int:
    """A folder in an open one, opened in its place. OSError for a link that is there by now, or a mount."""
    inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
    if mount_id(inner) != mount:
        os.close(inner)
        raise OSError(errno.EXDEV, "something is mounted there")
    os.close(here)
    return inner


def _up(here: int, level: _Level) -> int:
    """The folder that an open one is in, opened in its place. OSError where that is another one by now."""
    outer = os.open("..", _FOLDER, dir_fd=here)
    if _identity(outer) != level.identity:
        os.close(outer)
        raise OSError(errno.ESTALE, f"{level.path!r} was moved while it was being emptied")
    os.close(here)
    return outer


def _entries(folder: int) -> list[tuple[str, bool]]:
    """The names in an open folder, and whether each is a folder itself."""
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


@contextlib.contextmanager
def _noted(left: list[str], path: str) -> Iterator[None]:
    """Notes what stays, and why; what others have removed meanwhile is gone. Guests choose names, so none is printed
    as it is."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        left.append(f"{path!r}: {error.strerror}")
