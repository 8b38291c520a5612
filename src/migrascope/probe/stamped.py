"""A datagram socket of one peer, never blocking, whose receive stamps are the kernel's (SO_TIMESTAMPNS)."""

import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple, Self

_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")
_HOPS = struct.Struct("@i")
_IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 51, 52
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_HOPS.size)
_RECEIVE_BUFFER = 4 << 20
_RECVERR: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
"""IP_RECVERR, IPV6_RECVERR (linux/in.h, linux/in6.h): errors that others report are queued (ip(7))."""
_ERROR = struct.Struct("@IBBBxII")  # struct sock_extended_err (linux/errqueue.h)
_MOST_ERROR = 512
_BY_ICMP, _BY_ICMP6 = 2, 3
_PROHIBITED = {_BY_ICMP: (3, {9, 10, 13}), _BY_ICMP6: (1, {1})}
"""Destination unreachable, administratively prohibited: its type and codes (RFC 1122, RFC 1812; RFC 4443)."""


class Arrival(NamedTuple):
    """A packet: its first bytes, the kernel's receive stamp (wall ns), the stamp of reading (ns), and its hop limit;
    None where the socket does not ask for that."""

    data: bytes
    wall_ns: int
    read_ns: int
    hops: int | None


def stamp(opened: socket.socket) -> None:
    """From now on the kernel stamps what the socket receives."""
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def count_hops(opened: socket.socket) -> None:
    """From now on the kernel tells the hop limit of what the IPv6 socket receives (RFC 3542, 6.3)."""
    opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)


def arrivals(opened: socket.socket, most: int, size: int) -> Iterator[Arrival]:
    """What has come to a socket that stamps and never blocks, `most` packets of `size` bytes at a time."""
    for _ in range(most):
        try:
            data, ancillary, _, _ = opened.recvmsg(size, _ANCILLARY)
        except BlockingIOError:
            return
        except OSError:
            continue  # an ICMP error about an earlier request; reading it clears it
        now, wall, hops = time.monotonic_ns(), 0, None
        for level, kind, value in ancillary:
            if kind == _SO_TIMESTAMPNS and level == socket.SOL_SOCKET:
                seconds, nanoseconds = _TIMESPEC.unpack(value)
                wall = seconds * 10**9 + nanoseconds
            elif kind == _IPV6_HOPLIMIT and level == socket.IPPROTO_IPV6:
                (hops,) = _HOPS.unpack(value)
        yield Arrival(data, wall, now, hops)


class StampedSocket:
    """An open socket, connected to (address, port)."""

    def __init__(self, opened: socket.socket, peer: tuple[str, int]) -> None:
        self._socket = opened
        stamp(opened)
        try:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        opened.setblocking(False)
        opened.connect(peer)

    def fileno(self) -> int:
        return self._socket.fileno()

    def arrived(self, most: int, size: int) -> Iterator[Arrival]:
        """What has come, `most` packets of `size` bytes at a time."""
        return arrivals(self._socket, most, size)

    def heed(self) -> None:
        """From now on `prohibited` knows what others report."""
        self._socket.setsockopt(*_RECVERR[self._socket.family], 1)

    def prohibited(self) -> bool:
        """Whether a router or the peer itself has said since the last call that it may not be asked: for one that
        heeds."""
        found = False
        while True:
            try:
                _, ancillary, _, _ = self._socket.recvmsg(
                    _MOST_ERROR, socket.CMSG_SPACE(_MOST_ERROR), socket.MSG_ERRQUEUE
                )
            except OSError:  # BlockingIOError: there are no more
                return found
            found = found or any(
                (level, kind) in _RECVERR.values() and is_prohibition(data) for level, kind, data in ancillary
            )

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_prohibition(error: bytes) -> bool:
    """Whether a queued error, as recvmsg(2) gives it with MSG_ERRQUEUE, says: administratively prohibited."""
    _, origin, kind, code, _, _ = _ERROR.unpack_from(error)
    wanted, codes = _PROHIBITED.get(origin, (None, set[int]()))
    return kind == wanted and code in codes
