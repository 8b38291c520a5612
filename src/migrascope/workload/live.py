"""The origin's publisher: cuts a pre-encoded loop into a live HLS stream, in real time. No table.

Config: loop (folder with the segments and index.json: {"segments": [{"file", "duration_s"}, ...]}), www (folder of the
web server). It keeps www/live/index.m3u8 with a window of the newest segments and the segments themselves, as hard
links or, across file systems, copies. When it is ready the window is full, as in a stream that has run for a while.
"""

import errno
import json
import os
import shutil
import stat
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from migrascope.node.program import Program

WINDOW = 10
NS = 10**9


@dataclass(frozen=True)
class LoopSegment:
    """One segment of the loop: its file and its length in seconds."""

    path: Path
    duration_s: float


def read_loop(folder: Path) -> list[LoopSegment]:
    """The loop's segments in their order. OSError or ValueError when it is none."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    segments = [LoopSegment(folder / segment["file"], float(segment["duration_s"])) for segment in index["segments"]]
    if not segments:
        raise ValueError(f"{folder}/index.json lists no segments")
    return segments


def playlist(loop: list[LoopSegment], newest: int) -> str:
    """The live playlist (RFC 8216) whose last segment is number `newest`; discontinuous where the loop begins anew."""
    first = max(0, newest - WINDOW + 1)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        f"#EXT-X-TARGETDURATION:{ceil(max(segment.duration_s for segment in loop))}",
        f"#EXT-X-MEDIA-SEQUENCE:{first}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{max(0, first - 1) // len(loop)}",
    ]
    for number in range(first, newest + 1):
        if number and number % len(loop) == 0:
            lines.append("#EXT-X-DISCONTINUITY")
        lines += [f"#EXTINF:{loop[number % len(loop)].duration_s:.6f},", segment_name(number)]
    return "\n".join(lines) + "\n"


def segment_name(number: int) -> str:
    return f"seg{number:06d}.ts"


class Publisher:
    """The folder www/live, emptied of what an earlier stream left there."""

    def __init__(self, loop: list[LoopSegment], www: Path) -> None:
        self._loop = loop
        self._folder = www / "live"
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.glob("seg*.ts"):
            old.unlink()

    def publish(self, number: int) -> None:
        """Adds segment `number` and lists it. One that has left the window stays for another window's length, since a
        player may still hold an older playlist."""
        path = self._folder / segment_name(number)
        _lay(self._loop[number % len(self._loop)].path, path)
        part = self._folder / ".index.m3u8"
        part.write_text(playlist(self._loop, number), encoding="ascii")
        part.replace(self._folder / "index.m3u8")
        if number >= 2 * WINDOW:
            (self._folder / segment_name(number - 2 * WINDOW)).unlink()


def _lay(source: Path, path: Path) -> None:
    """A file that the web server, which is nobody's, can read: the same one, or a copy."""
    try:
        if source.stat().st_mode & stat.S_IROTH:
            os.link(source, path)
            return
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
    shutil.copyfile(source, path)


async def main(program: Program) -> None:
    os.umask(0o022)  # the web server is another user
    loop = read_loop(Path(program.config["loop"]))
    publisher = Publisher(loop, Path(program.config["www"]))
    for number in range(WINDOW):
        publisher.publish(number)
    due_ns, number = time.monotonic_ns(), WINDOW
    program.ready()
    while await program.due(due_ns := due_ns + round(loop[number % len(loop)].duration_s * NS), drain=False):
        publisher.publish(number)
        number += 1


if __name__ == "__main__":
    Program.from_argv().run(main)
