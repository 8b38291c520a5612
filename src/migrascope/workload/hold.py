"""A web server that holds answers back on schedule: a known truth for visitors and viewers. Table hold.

Config: address, port, schedule ([{"at_s", "hold_s", "nominal_s", "kind"}, ...], seconds since it was ready; without a
nominal length it is the true one). It serves a page (/),
and a film of bytes without meaning as HLS (/video/index.m3u8) and as MP4 (/video/video.mp4).

kind http: every page asked for from at_s on is answered at its end. from_ns is that moment, until_ns the stamp right
before the first held answer is written, bound_ns how long it took to write them all. A visit that is answered within
the limit of lateness L is in time, so those that are late are the visits due in [from_ns, until_ns - L]: the truth of
an HTTP blackout is until - from - L.

kind player: the first media asked for from at_s on, and all that is asked for while they wait, are answered hold_s
later: so a hold meets a request whenever the player asks. from_ns is when that request came, until_ns the stamp right
before its answer is written. Its media come until - from late: a player stands still for that less its buffer.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from migrascope.node.program import Program
from migrascope.store.spool import Spool
from migrascope.workload.film import Film

PAGE = b"<!doctype html><title>Held</title>".ljust(20_000, b"\n")
NS = 10**9


@dataclass
class Hold:
    """One hold: when it may begin, how long it lasts, its nominal length, when it began (0: not yet), and what waits
    for its end."""

    kind: str
    at_ns: int
    hold_s: float
    nominal_s: float
    from_ns: int = 0
    waiting: list[Callable[[], None]] = field(default_factory=list)


class Holds:
    """The schedule under way; those of one kind do not overlap."""

    def __init__(self, schedule: list[dict[str, Any]], start_ns: int, spool: Spool) -> None:
        self._spool = spool
        self._coming: dict[str, deque[Hold]] = {"http": deque(), "player": deque()}
        for row in sorted(schedule, key=lambda row: float(row["at_s"])):
            hold_s = float(row["hold_s"])
            at_ns = start_ns + round(row["at_s"] * NS)
            hold = Hold(row["kind"], at_ns, hold_s, float(row.get("nominal_s", hold_s)))
            self._coming[hold.kind].append(hold)
            if hold.kind == "http":
                self._begin(hold, hold.at_ns)

    def answer(self, kind: str, write: Callable[[], None]) -> None:
        """Calls `write` now or at the end of the hold that the request meets."""
        now = time.monotonic_ns()
        hold = self._coming[kind][0] if self._coming[kind] else None
        if hold is None or now < hold.at_ns:
            write()
            return
        hold.waiting.append(write)
        if not hold.from_ns:
            self._begin(hold, now)

    def _begin(self, hold: Hold, from_ns: int) -> None:
        hold.from_ns = from_ns
        asyncio.get_running_loop().call_at(from_ns / NS + hold.hold_s, self._release, hold)

    def _release(self, hold: Hold) -> None:
        until = time.monotonic_ns()
        for write in hold.waiting:
            write()
        self._coming[hold.kind].remove(hold)
        self._spool.add(hold.from_ns, until, time.monotonic_ns() - until, hold.kind, hold.nominal_s)
        self._spool.flush()


class Connection(asyncio.Protocol):
    """One client's connection: HTTP/1.1, GET only, kept unless it asks to close."""

    def __init__(self, holds: Holds, film: Film) -> None:
        self._holds, self._film = holds, film
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._request(head.decode("latin-1"))

    def _request(self, head: str) -> None:
        line, *rest = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
        path = line.split(" ")[1] if line.count(" ") == 2 else ""
        close = headers.get("connection", "").lower() == "close"
        if path == "/":
            self._holds.answer("http", partial(self._write, "200 OK", PAGE, "text/html", close=close))
            return
        found = self._film.find(path)
        if found is None:
            self._write("404 Not Found", b"", "text/plain", close=close)
        elif not found.held:
            self._write("200 OK", found.body, found.content_type, close=close)
        else:
            self._media(found.body, found.content_type, headers.get("range", ""), close=close)

    def _media(self, body: bytes, content_type: str, span: str, *, close: bool) -> None:
        status, more = "200 OK", ""
        if span:
            first, _, last = span.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last or len(body)), len(body) - 1)
            status, more = "206 Partial Content", f"Content-Range: bytes {begin}-{end}/{len(body)}\r\n"
            body = body[begin : end + 1]
        self._holds.answer("player", partial(self._write, status, body, content_type, more, close=close))

    def _write(self, status: str, body: bytes, content_type: str, more: str = "", *, close: bool) -> None:
        if self._transport.is_closing():
            return
        more += "Connection: close\r\n" if close else ""
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        self._transport.write(head.encode("latin-1") + body)
        if close:
            self._transport.close()


async def main(program: Program) -> None:
    config = program.config
    film = Film()
    loop = asyncio.get_running_loop()
    with program.spool("hold") as spool:
        holds = Holds(config["schedule"], time.monotonic_ns(), spool)
        server = await loop.create_server(
            lambda: Connection(holds, film), config["address"], config["port"], backlog=1024
        )
        async with server:
            program.ready()
            await program.ended()


if __name__ == "__main__":
    Program.from_argv().run(main)
