"""Files that are written as a whole or not at all, and never through a link that somebody has laid there."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from migrascope.model.problem import Problem


def write_whole(path: Path, content: str | bytes, mode: int = 0o666, *, durable: bool = True) -> None:
    """Writes a file in place of an old one, or leaves the old one. OSError, which names the file, where it cannot.

    A link in its place is replaced, not followed. mode: of a new file, less the umask. durable: it is on the disk when
    this returns; False for what is soon written anew.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(handle)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_json(path: Path, value: Any) -> None:
    """The same with a value as JSON, for people to read, too."""
    write_whole(path, json.dumps(value, indent=1) + "\n")


def own_folder(path: Path) -> None:
    """Makes a folder unless it is there. Problem where something else has its name, as a link to another place."""
    path.mkdir(exist_ok=True)
    if path.is_symlink():
        raise Problem(f"{path} is a link, and nothing is written through it\n  next: rm {path}")
