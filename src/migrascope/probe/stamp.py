"""A session-sender of STAMP (RFC 8762) at a fixed rate: tables stamp_sent and stamp_reply.

Config: target (IPv4 address), port (UDP), rate (1/s). The reflector's sequence numbers say which way a packet was lost,
its stamps how long each way took, by its own clock.
"""

import os
import socket
import struct
import time
from typing import Self

from migrascope.model.stamp import BYTES, Reply, request
from migrascope.node.program import Program
from migrascope.probe.paced import probe

_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)
_RECEIVE_BUFFER = 4 << 20

Row = tuple[int, int, int, int, int, int, int]
"""A row of stamp_reply."""


class StampSocket:
    """Test packets to one reflector, never blocking."""

    def __init__(self, target: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.setblocking(False)
        self._socket.connect((target, port))
        self._ssid = int.from_bytes(os.urandom(2)) | 1  # 0 would be none

    def request(self, seq: int) -> bytes:
        """A packet for `send`: the seq alone, for its time stamp is that of sending it."""
        return seq.to_bytes(4, "big")

    def send(self, packet: bytes) -> int:
        """Sends a test packet and returns the stamp right before (ns). One that the kernel refuses is a lost one."""
        before, wall = time.monotonic_ns(), time.time_ns()
        try:
            self._socket.send(request(int.from_bytes(packet, "big"), wall, self._ssid))
        except OSError:
            return before
        return before

    def receive(self, most: int) -> list[Row]:
        """The answers that have come, `most` packets at a time. Foreign packets are left out."""
        rows = []
        for _ in range(most):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(BYTES, _ANCILLARY)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error about an earlier request; reading it clears it
            now = time.monotonic_ns()
            try:
                told = Reply(data)
            except ValueError:
                continue
            seconds, rest = _TIMESPEC.unpack(ancillary[0][2])
            arrived = seconds * 10**9 + rest
            rows.append((told.seq, told.number, told.received_ns, told.sent_ns, told.ttl, arrived, now))
        return rows

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main(program: Program) -> None:
    """Sends until the program drains, receives until it ends."""
    config = program.config
    with (
        StampSocket(config["target"], config["port"]) as prober,
        program.spool("stamp_sent") as sent,
        program.spool("stamp_reply") as replies,
    ):
        probe(program, prober, config["rate"], sent, replies)


if __name__ == "__main__":
    main(Program.from_argv())
