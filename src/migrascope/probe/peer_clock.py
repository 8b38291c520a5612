"""The clock of a peer by the time stamps of its TCP segments (RFC 7323): table peer_clock.

Config: targets, each {source, instance, address (IPv4 or IPv6), port (TCP, that accepts connections)}; rate (1/s);
part_s: seconds after which a spool goes on in another file, None: never. One connection is kept to each, over which
nothing is said. A keep-alive segment with an octet that the peer has had (RFC 1122, 4.2.3.6) makes it answer with an
ACK: that carries its time stamp, and the kernel's stamp of receiving it says when. The kernel's own keep-alive segments
carry no octet, and Linux answers such only twice a second. Needs CAP_NET_RAW. A connection that ended is made anew.
"""

import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrascope.node.program import Program
from migrascope.probe.bpf import EQUAL, HEADER_LENGTH, LOAD_HALF, LOAD_HALF_BEHIND, RETURN, assembled, attach
from migrascope.probe.icmp import checksum
from migrascope.probe.stamped import StampedSocket, count_hops
from migrascope.store.spool import Spool

FIN, SYN, RST, ACK = 1, 2, 4, 16
NO_STAMP, NO_TTL = -1, -1
_MOST_BYTES = 256
_MOST_READ = 100
_LOOK_S = 0.2
"""Answers are read so often, which costs no accuracy, for their stamps are the kernel's: a process that wakes with cold
caches is slow, and asking alone is quick."""
_AGAIN_NS = 1_000_000_000
"""Time from a connection, or from trying to make one, to the next."""
_GIVEN_UP_NS = 5_000_000_000
_HEADER = struct.Struct("!HHIIBBHHH")
_STAMP_OPTION = struct.Struct("!BBBBII")
_ESTABLISHED, _SYN_SENT = 1, 2  # of TCP_INFO (linux/tcp_states.h)
Row = tuple[int, int, int, int, int, int]
"""A row of peer_clock."""


@dataclass(frozen=True)
class Segment:
    """What counts of a segment from the peer. following: the number of what it will send next; tsval, tsecr: its time
    stamps, NO_STAMP where it has none."""

    flags: int
    following: int
    ack: int
    tsval: int
    tsecr: int


def segment_of(packet: bytes, length: int) -> Segment | None:
    """A TCP segment without IP header, of which the first bytes were read; length: of all of it. None where it is
    none."""
    if len(packet) < _HEADER.size:
        return None
    _, _, seq, ack, offset, flags, _, _, _ = _HEADER.unpack_from(packet)
    head = (offset >> 4) * 4
    if not _HEADER.size <= head <= min(len(packet), length):
        return None
    tsval, tsecr = _stamps(packet[_HEADER.size : head])
    counted = length - head + bool(flags & SYN) + bool(flags & FIN)
    return Segment(flags, (seq + counted) % 2**32, ack, tsval, tsecr)


def _stamps(options: bytes) -> tuple[int, int]:
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):
            break
        if options[at] == 8 and size == 10:
            tsval, tsecr = struct.unpack_from("!II", options, at + 2)
            return int(tsval), int(tsecr)
        at += size
    return NO_STAMP, NO_STAMP


def keep_alive(source: tuple[str, int], target: tuple[str, int], seen: Segment) -> bytes:
    """A segment with an octet that the peer has had already, which it must answer. seen: its last one."""
    stamps = b""
    if seen.tsval != NO_STAMP:
        stamps = _STAMP_OPTION.pack(1, 1, 8, 10, seen.tsecr, seen.tsval)
    offset = (_HEADER.size + len(stamps)) // 4 << 4
    fields = source[1], target[1], (seen.ack - 1) % 2**32, seen.following, offset, ACK, 1024
    body = stamps + b"\0"
    segment = _HEADER.pack(*fields, 0, 0) + body
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    ends = b"".join(socket.inet_pton(family, address.partition("%")[0]) for address in (source[0], target[0]))
    pseudo = ends + struct.pack("!II", socket.IPPROTO_TCP, len(segment))  # as long and as summed as RFC 9293 has it
    return _HEADER.pack(*fields, checksum(pseudo + segment), 0) + body


def connection_filter(peer_port: int, own_port: int, *, headed: bool) -> bytes:
    """Classic BPF: segments from the one port to the other. headed: the IP header is there, too."""
    load = LOAD_HALF_BEHIND if headed else LOAD_HALF
    program = [
        *([(HEADER_LENGTH, 0, 0, 0)] if headed else []),
        (load, 0, 0, 0),
        (EQUAL, 0, 3, peer_port),
        (load, 0, 0, 2),
        (EQUAL, 0, 1, own_port),
        (RETURN, 0, 0, _MOST_BYTES),
        (RETURN, 0, 0, 0),
    ]
    return assembled(program)


class PeerClock(StampedSocket):
    """A kept connection to a port, and what its peer answers on it. Never blocking. PermissionError without the right
    to a raw socket, another OSError where there is no way to the address."""

    def __init__(self, address: str, port: int) -> None:
        self._target, self._six = (address, port), ":" in address
        self._family = socket.AF_INET6 if self._six else socket.AF_INET
        opened = socket.socket(self._family, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self._attach(opened, 0)
        if self._six:
            count_hops(opened)
        try:
            super().__init__(opened, (address, 0))
        except OSError:
            opened.close()
            raise
        self._kept: socket.socket | None = None
        self._source = ("", 0)
        self._seen: Segment | None = None
        self._request = b""
        self._number, self._tried_ns = 0, 0

    def _attach(self, raw: socket.socket, own_port: int) -> None:
        """From now on what comes from the peer to this port is read."""
        attach(raw, connection_filter(self._target[1], own_port, headed=not self._six))

    def ask(self) -> None:
        """Makes the peer answer, where the connection stood when it was looked after."""
        if self._request:
            try:
                self._socket.send(self._request)
            except OSError:
                return  # no route, no buffer: it is a lost one

    def look_after(self) -> None:
        """Without a connection, begins one, if the last one was begun long enough ago."""
        now = time.monotonic_ns()
        state = self._state()
        # The peer's answer to its SYN is read here before the kernel's TCP has it.
        coming = state == _SYN_SENT and now - self._tried_ns <= _GIVEN_UP_NS
        if state != _ESTABLISHED and not coming:
            self._end()
        if self._kept is None:
            if now - self._tried_ns >= _AGAIN_NS:
                self._begin(now)
        elif state == _ESTABLISHED and self._seen is not None:
            self._request = keep_alive(self._source, self._target, self._seen)

    def _begin(self, now: int) -> None:
        self._tried_ns, self._number, self._seen = now, self._number + 1, None
        self._kept = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._kept.bind(("", 0))
        self._attach(self._socket, self._kept.getsockname()[1])
        self._kept.connect_ex(self._target)
        self._source = self._kept.getsockname()[:2]

    def _state(self) -> int | None:
        """Of the kept connection, as the kernel has it; None without one."""
        if self._kept is None:
            return None
        return self._kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[0]

    def _end(self) -> None:
        self._request = b""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def receive(self, most: int) -> list[Row]:
        """What the peer has answered, `most` segments at a time."""
        rows = []
        for data, arrived, now, hops in self.arrived(most, _MOST_BYTES):
            head = 0 if self._six else (data[0] & 0x0F) * 4
            length = len(data) - head if self._six else int.from_bytes(data[2:4], "big") - head
            segment = segment_of(data[head:], length)
            if segment is None:
                continue
            ttl = NO_TTL if hops is None else hops
            rows.append((self._number, segment.flags, segment.tsval, ttl if self._six else data[8], arrived, now))
            if segment.flags & (FIN | RST):
                self._end()
            elif segment.flags & ACK:
                self._seen = segment
        return rows

    def close(self) -> None:
        self._end()
        super().close()


def refusal(address: str) -> str | None:
    """Why this process cannot see the segments of that address, None where it can."""
    try:
        with PeerClock(address, 0):
            return None
    except PermissionError:
        return "no right to see segments: root, or CAP_NET_RAW"
    except OSError as error:
        return f"no way to see segments: {error.strerror}"


def main(program: Program) -> None:
    """Asks until the program drains, receives until it ends."""
    config = program.config
    with ExitStack() as stack:
        peers = []
        for target in config["targets"]:
            where = f"{target['address']}, port {target['port']}"
            with _ends(f"no connection can be kept to {where}"):
                peer = stack.enter_context(PeerClock(target["address"], target["port"]))
            with _ends(f"cannot record in {config['directory']}"):
                spool = stack.enter_context(_spool(config, target))
            peers.append((where, peer, spool))
        program.ready()
        every = max(1, round(_LOOK_S * config["rate"]))
        for tick, _ in enumerate(program.ticks(1 / config["rate"])):
            for where, peer, spool in peers if tick % every == 0 else ():
                rows = peer.receive(_MOST_READ)
                with _ends(f"cannot record in {config['directory']}"):
                    spool.add_all(rows)
                if not program.draining:
                    with _ends(f"no connection can be kept to {where}"):
                        peer.look_after()
            if not program.draining:
                for _, peer, _ in peers:
                    peer.ask()


def _spool(config: dict[str, Any], target: dict[str, Any]) -> Spool:
    return Spool(
        Path(config["directory"]), "peer_clock", source=target["source"], host=config["host"],
        instance=target["instance"], migration=config["migration"], part_s=config["part_s"],
    )  # fmt: skip


@contextmanager
def _ends(words: str) -> Iterator[None]:
    """Where it cannot go on, the process ends with these words and the reason."""
    try:
        yield
    except OSError as error:
        sys.exit(f"{words}: {error.strerror}")


if __name__ == "__main__":
    main(Program.from_argv())
