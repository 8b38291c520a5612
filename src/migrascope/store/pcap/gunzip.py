"""Gzip (RFC 1952) read as far as it is sound: of a file that is cut or damaged everything before that place."""

import io
import struct
import zlib
from typing import Protocol

MAGIC = b"\x1f\x8b"
_STEP = 1 << 16
_MOST_OUT = 1 << 18
_HEADER, _TRAILER = 10, 8
_CRC, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16


class Source(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class Gunzip(io.RawIOBase):
    """The content of a gzip file of one or more members. damage: after reading, what is wrong with it, as a clause."""

    def __init__(self, file: Source, begin: bytes) -> None:
        """begin: what has been read of the file already."""
        super().__init__()
        self.damage: str | None = None
        self._file, self._input = file, begin
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._inside = self._over = False
        self._ready = memoryview(b"")
        self._crc = self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not len(self._ready) and not self._over:
            self._ready = memoryview(self._more())
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _have(self, count: int) -> bool:
        """Whether so many bytes of the file are there, after reading on."""
        part = bytearray(_STEP)
        while len(self._input) < count:
            got = self._file.readinto(memoryview(part))
            if not got:
                return False
            self._input += part[:got]
        return True

    def _more(self) -> bytes:
        if not self._inside:
            self._begin_member()
            return b""
        if not self._input and not self._have(1):
            return self._end("its compression is cut off")
        before = self._inflater.copy()
        try:
            out = self._inflater.decompress(self._input, _MOST_OUT)
        except zlib.error as error:
            out = _salvaged(before, self._input)
            self._end(f"its compression is damaged ({error})")
        else:
            self._input = self._inflater.unconsumed_tail
            if self._inflater.eof:
                self._input, self._inside = self._inflater.unused_data, False
        self._crc, self._size = zlib.crc32(out, self._crc), self._size + len(out)
        if not self._inside and not self._over:
            self._end_member()
        return out

    def _end_member(self) -> None:
        if not self._have(_TRAILER):
            self._end("its compression is cut off within the checksum")
            return
        crc, size = struct.unpack_from("<II", self._input)
        self._input = self._input[_TRAILER:]
        if (crc, size) != (self._crc, self._size & 0xFFFFFFFF):
            self.damage = self.damage or "its checksum is not that of its content"

    def _begin_member(self) -> None:
        if not self._have(1):
            self._over = True
            return
        there = self._have(_HEADER)
        if self._input[:3] != (MAGIC + b"\x08")[: len(self._input)]:
            self._end("what follows its compressed part is no gzip")
            return
        if not there:
            self._end("its compression is cut off")
            return
        flags, length = self._input[3], _HEADER
        if flags & _EXTRA and self._have(length + 2):
            length += 2 + int(struct.unpack_from("<H", self._input, length)[0])
        for _ in range(bool(flags & _NAME) + bool(flags & _COMMENT)):
            while self._input.find(b"\0", length) < 0 and len(self._input) < _STEP and self._have(len(self._input) + 1):
                pass
            length = self._input.find(b"\0", length) + 1 or _STEP
        length += 2 * bool(flags & _CRC)
        if not self._have(length):
            self._end("its compression is cut off within its header")
            return
        self._input = self._input[length:]
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._inside, self._crc, self._size = True, 0, 0

    def _end(self, damage: str) -> bytes:
        self.damage, self._over = self.damage or damage, True
        return b""


def _salvaged(inflater: "zlib._Decompress", data: bytes) -> bytes:
    """What can be taken out of data before the place where it is damaged."""
    out = bytearray()
    try:
        for at in range(len(data)):
            out += inflater.decompress(data[at : at + 1], _MOST_OUT)
    except zlib.error:
        pass
    return bytes(out)
