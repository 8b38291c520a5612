"""Reads a capture of any size in batches of bounded memory: pcap or pcapng, plain or gzip."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from migrascope.model.problem import UsageProblem
from migrascope.store.pcap.classic import HEADER, Classic, is_classic
from migrascope.store.pcap.damage import MOST_BYTES, NotRead
from migrascope.store.pcap.frames import PADDING, Frames
from migrascope.store.pcap.pcapng import MAGIC, Pcapng

CHUNK = 4 << 20
_GZIP = b"\x1f\x8b"


class CaptureError(UsageProblem):
    """A capture that cannot be read; the message names the file and what is wrong with it."""


class Capture:
    """A capture file. cut: after reading, whether it ends within a record; skipped: blocks that hold no packet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut = False
        self.skipped = 0

    def batches(self) -> Iterator[Frames]:
        """The frames in the order of the file, about 4 MiB of it at a time. CaptureError where it cannot be read."""
        try:
            with _opened(self.path) as file:
                yield from self._batches(file)
        except NotRead as error:
            raise CaptureError(f"{self.path} cannot be read: {error}") from error
        except zlib.error as error:
            raise CaptureError(f"{self.path} cannot be read: its compression is damaged ({error})") from error
        except OSError as error:
            raise CaptureError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _batches(self, file: io.BufferedIOBase) -> Iterator[Frames]:
        head = file.read(HEADER)
        if not head:
            raise NotRead("it is empty, not even a header is there")
        parser: Classic | Pcapng
        if is_classic(head):
            parser, left, position = Classic.of(head), b"", HEADER
        elif head.startswith(MAGIC):
            parser, left, position = Pcapng(), head, 0
        else:
            raise NotRead("it is neither pcap nor pcapng; others can be converted with: editcap -F pcapng FILE NEW")
        data = bytearray(CHUNK + PADDING)
        while True:
            data, filled = _filled(file, data, left)
            if filled == len(left):
                break
            frames, rest = parser.frames(data, filled, position)
            left, position = bytes(memoryview(data)[rest:filled]), position + rest
            if len(frames):
                yield frames
        self.cut = bool(left)
        self.skipped = parser.skipped if isinstance(parser, Pcapng) else 0


def _opened(path: Path) -> io.BufferedIOBase:
    file = path.open("rb")
    if file.read(2) == _GZIP:
        file.close()
        return gzip.GzipFile(path)
    file.seek(0)
    return file


def _filled(file: io.BufferedIOBase, data: bytearray, left: bytes) -> tuple[bytearray, int]:
    """(buffer, bytes of it): what was left and what follows it in the file. The buffer is `data`, or a larger one where
    what was left fills it: the beginning of a long record."""
    if len(left) >= len(data) - PADDING:
        data = bytearray(len(left) + MOST_BYTES + PADDING)
    data[: len(left)] = left
    filled = len(left)
    view = memoryview(data)[: len(data) - PADDING]
    try:
        while count := file.readinto(view[filled:]):
            filled += count
    except EOFError:  # a gzip file that is cut: what came before is whole
        return data, filled
    return data, filled
