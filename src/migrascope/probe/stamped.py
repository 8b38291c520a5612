"""A datagram socket of one peer, never blocking, whose receive stamps are the kernel's (SO_TIMESTAMPNS)."""

import socket
import struct
import time
from collections.abc import Iterator
from typing import Self

_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)
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


class StampedSocket:
    """An open socket, connected to (address, port)."""

    def __init__(self, opened: socket.socket, peer: tuple[str, int]) -> None:
        self._socket = opened
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        try:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        opened.setblocking(False)
        opened.connect(peer)

    def fileno(self) -> int:
        return self._socket.fileno()

    def arrived(self, most: int, size: int) -> Iterator[tuple[bytes, int, int]]:
        """What has come, `most` packets of `size` bytes at a time: (data, the kernel's receive stamp in wall ns, the
        stamp of reading in ns)."""
        for _ in range(most):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(size, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about an earlier request; reading it clears it
            now = time.monotonic_ns()
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            yield data, seconds * 10**9 + nanoseconds, now

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
