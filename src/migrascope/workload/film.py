"""A film of bytes without meaning, for a server that needs no video: HLS and MP4 of the right sizes and lengths."""

import struct
from dataclasses import dataclass

DURATION_S = 60
SEGMENT_S = 0.5
BITS_PER_SECOND = 1_000_000
_TIMESCALE = 1000


@dataclass(frozen=True)
class Part:
    """What one path serves. held: media, which a hold may hold back."""

    body: bytes
    content_type: str
    held: bool


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def mp4_film(duration_s: float, size: int) -> bytes:
    """An MP4 file of about `size` bytes, as far as a reader of its movie header looks: ftyp, moov with mvhd, mdat."""
    header = struct.pack(">IIIII80x", 0, 0, 0, _TIMESCALE, round(duration_s * _TIMESCALE))
    front = _box(b"ftyp", b"isom\0\0\2\0isom") + _box(b"moov", _box(b"mvhd", header))
    return front + _box(b"mdat", bytes(size - len(front) - 8))


class Film:
    """/video/index.m3u8 with its segments, and /video/video.mp4."""

    def __init__(self) -> None:
        count = round(DURATION_S / SEGMENT_S)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXT-X-PLAYLIST-TYPE:VOD"]
        for number in range(count):
            lines += [f"#EXTINF:{SEGMENT_S:.6f},", f"seg{number:04d}.ts"]
        playlist = "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode("ascii")
        segment = Part(bytes(round(BITS_PER_SECOND / 8 * SEGMENT_S)), "video/mp2t", held=True)
        film = mp4_film(DURATION_S, BITS_PER_SECOND * DURATION_S // 8)
        self._parts = {f"/video/seg{number:04d}.ts": segment for number in range(count)} | {
            "/video/index.m3u8": Part(playlist, "application/vnd.apple.mpegurl", held=False),
            "/video/video.mp4": Part(film, "video/mp4", held=True),
        }

    def find(self, path: str) -> Part | None:
        return self._parts.get(path)
