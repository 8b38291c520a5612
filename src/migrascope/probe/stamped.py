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

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
