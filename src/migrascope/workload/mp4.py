"""MP4 over ranges, as a player asks for it: the index at first, then the media at the pace of playing."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from migrascope.workload.player import NS, Player

PIECE_S = 0.5
_FIRST_BYTES = 65_536
_HEAD_BYTES = 256


@dataclass(frozen=True)
class Box:
    """A box of an ISO base media file (ISO/IEC 14496-12) in the whole file: where it and its content begin, its end."""

    kind: bytes
    start: int
    content: int
    end: int


def boxes(data: bytes, start: int, end: int, offset: int = 0) -> Iterator[Box]:
    """The boxes side by side between start and end; `data` is the file from `offset` on. Stops where data ends."""
    while start + 8 <= end and 0 <= start - offset <= len(data) - 8:
        size, kind = struct.unpack_from(">I4s", data, start - offset)
        content = start + 8
        if size == 1:
            if start - offset + 16 > len(data):
                return
            (size,) = struct.unpack_from(">Q", data, start - offset + 8)
            content = start + 16
        size = size or end - start
        if size < content - start:
            raise ValueError(f"box {kind!r} of {size} bytes")
        yield Box(kind, start, content, start + size)
        start += size


def duration_s(mvhd: bytes) -> float:
    """The length of the film from the content of its movie header box. ValueError when it has none."""
    form = ">IQ" if mvhd[:1] == b"\x01" else ">II"
    at = 20 if mvhd[:1] == b"\x01" else 12
    if len(mvhd) < at + struct.calcsize(form):
        raise ValueError("the movie header is cut off")
    scale, length = struct.unpack_from(form, mvhd, at)
    if not scale or not length:
        raise ValueError("the movie header gives no duration")
    return float(length / scale)


def movie_header(data: bytes, offset: int, size: int) -> bytes | int:
    """The content of moov's mvhd in `data`, which is the file of `size` bytes from `offset` (where a box begins) on; or
    the offset from which to read on. ValueError when there is no moov."""
    last = None
    for box in boxes(data, offset, size, offset):
        if box.kind == b"moov":
            for inner in boxes(data, box.content, box.end, offset):
                if inner.kind == b"mvhd" and inner.content - offset + 32 <= len(data):
                    return data[inner.content - offset : inner.end - offset]
            return box.start
        last = box
    if last is None or last.end >= size:
        raise ValueError("no moov: not an MP4 file")
    return last.end


async def watch(player: Player, url: str) -> None:
    """Plays an MP4 file over and over with a full buffer: about half a second at a time, when it is due."""
    found: bytes | int = 0
    length = _FIRST_BYTES
    while isinstance(found, int):
        opening = await player.range(url, found, length)
        if opening is None:
            return
        data, size = opening
        before, found = found, movie_header(data, found, size)
        if found == before:
            raise ValueError("moov without a movie header at its beginning")
        length = _HEAD_BYTES
    film_s = duration_s(found)
    piece = max(1, round(size * PIECE_S / film_s))
    start_ns, played = player.now(), 0
    while True:
        for first in range(0, size, piece):
            last = min(first + piece, size) - 1
            media_s = (played * size + first) * film_s / size
            if not await player.due(start_ns + round(media_s * NS)):
                return
            await player.media(url, media_s, (last + 1 - first) * film_s / size, (first, last))
        played += 1
