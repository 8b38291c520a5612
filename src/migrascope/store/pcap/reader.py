"""Reads a capture of any size in batches of bounded memory: pcap or pcapng, plain or gzip, a file or a pipe."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from migrascope.model.problem import UsageProblem
from migrascope.store.pcap import gunzip
from migrascope.store.pcap.classic import HEADER, Classic, is_classic
from migrascope.store.pcap.damage import MOST_BYTES, NotRead
from migrascope.store.pcap.frames import PADDING, Frames
from migrascope.store.pcap.gunzip import Gunzip, Source
from migrascope.store.pcap.pcapng import MAGIC, Pcapng

CHUNK = 4 << 20
STDIN = Path("-")


class CaptureError(UsageProblem):
    """A capture that cannot be read; the message names the file and what is wrong with it."""


class Capture:
    """A capture file, or the standard input where the path is "-". After reading, damage: what of it is missing and
    why, as a clause; None where it is whole. untimed, untimed_bytes: packets that carry no time stamp, which are in no
    batch, and their lengths on the wire. skipped: blocks that hold no packet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: str | None = None
        self.untimed = self.untimed_bytes = 0
        self.skipped = 0
        self._frames = 0
        self._damaged = False

    @property
    def cut(self) -> bool:
        """Whether something of it is missing."""
        return self.damage is not None

    def batches(self) -> Iterator[Frames]:
        """The frames in the order of the file, about 4 MiB of it at a time, up to where it is cut or damaged.
        CaptureError where it cannot be read, or is damaged before its first packet."""
        name = "the standard input" if self.path == STDIN else self.path
        try:
            with open(0 if self.path == STDIN else self.path, "rb", buffering=0, closefd=self.path != STDIN) as file:
                begin = _exactly(file, HEADER)
                if begin.startswith(gunzip.MAGIC):
                    unpacked = Gunzip(file, begin)
                    begin = _exactly(unpacked, HEADER)
                    if len(begin) < HEADER and unpacked.damage:
                        raise NotRead(unpacked.damage)
                    yield from self._batches(unpacked, begin, None)
                    self.damage = unpacked.damage or self.damage
                else:
                    yield from self._batches(file, begin, _size(file.fileno()))
            if self._damaged and self._frames + self.untimed == 0:
                raise NotRead(str(self.damage))
        except NotRead as error:
            raise CaptureError(f"{name} cannot be read: {error}") from error
        except OSError as error:
            raise CaptureError(f"{name} cannot be read: {error.strerror or error}") from error

    def _batches(self, file: Source, left: bytes, size: int | None) -> Iterator[Frames]:
        """size: of the file, where it is known."""
        parser, left, position = _parser(left)
        data = bytearray(CHUNK + PADDING)
        while parser.damage is None:
            data, filled = _filled(file, data, left)
            if filled == len(left):
                break
            frames, rest = parser.frames(data, filled, position)
            left, position = bytes(memoryview(data)[rest:filled]), position + rest
            self._frames += len(frames)
            if len(frames):
                yield frames
        if parser.damage is not None:
            behind = "" if size is None else f"; the last {size - position} of its {size} bytes are not read"
            self.damage, self._damaged = f"{parser.damage}{behind}", True
        elif left:
            lacks = parser.lacks(left)
            self.damage = "it is cut within its last packet" + (
                f", {lacks} bytes of which are missing" if lacks else ""
            )
        if isinstance(parser, Pcapng):
            self.skipped, self.untimed, self.untimed_bytes = parser.skipped, parser.untimed, parser.untimed_bytes


def _parser(begin: bytes) -> tuple[Classic | Pcapng, bytes, int]:
    """(reader of a file that begins so, what of its beginning is still to be read, where that begins)."""
    if not begin:
        raise NotRead("it is empty, not even a header is there")
    if is_classic(begin):
        return Classic.of(begin), b"", HEADER
    if begin.startswith(MAGIC):
        return Pcapng(), begin, 0
    raise NotRead("it is neither pcap nor pcapng; others can be converted with: editcap -F pcapng FILE NEW")


def _size(number: int) -> int | None:
    """Bytes of an open file; None of what is no regular file."""
    found = os.fstat(number)
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _exactly(file: Source, count: int) -> bytes:
    """So many bytes, fewer only at the end of the file."""
    data = bytearray(count)
    filled = 0
    while filled < count and (got := file.readinto(memoryview(data)[filled:])):
        filled += got
    return bytes(data[:filled])


def _filled(file: Source, data: bytearray, left: bytes) -> tuple[bytearray, int]:
    """(buffer, bytes of it): what was left and what follows it in the file. The buffer is `data`, or a larger one where
    what was left fills it: the beginning of a long record."""
    if len(left) >= len(data) - PADDING:
        data = bytearray(len(left) + MOST_BYTES + PADDING)
    data[: len(left)] = left
    filled = len(left)
    view = memoryview(data)[: len(data) - PADDING]
    while count := file.readinto(view[filled:]):
        filled += count
    return data, filled
