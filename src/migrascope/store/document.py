"""Files that may be anybody's: what comes of one is a value or a ValueError, in bounded time and memory."""

import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

MOST_BYTES = 16 * 2**20
"""The largest file that is read; the facts of a trial with a fleet of a thousand instances are a tenth of that."""


def read_text(path: Path) -> str:
    """The text of a file. OSError where it cannot be read; ValueError where it is no regular file, too large, or no
    UTF-8."""
    return read_bytes(path).decode()


def read_json(path: Path) -> Any:
    """The value of a file. OSError where it cannot be read; ValueError where it is no regular file, too large, or no
    JSON."""
    return parse_json(read_bytes(path))


def open_regular(path: Path) -> BufferedReader:
    """Opens a file to be read: a pipe or a device could hold its reader up for ever. OSError where it cannot be opened;
    ValueError where it is no regular file."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError("it is no regular file")
    return open(handle, "rb")


def read_bytes(path: Path) -> bytes:
    """The content of a file. OSError where it cannot be read; ValueError where it is no regular file, or too large."""
    with open_regular(path) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return content


def parse_json(text: str | bytes) -> Any:
    """The value of a text. ValueError where it is none, one that is nested too deep among them."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_object(path: Path) -> dict[str, Any]:
    """The same of a file that holds an object; ValueError where it holds anything else."""
    return parse_object(read_bytes(path))


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The object of a text. ValueError where it is none."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"it holds no object, but {type(value).__name__}")
    return value
