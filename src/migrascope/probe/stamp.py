"""A session-sender of STAMP (RFC 8762) at a fixed rate: tables stamp_sent and stamp_reply.

Config: target (IPv4 or IPv6 address), port (UDP), rate (1/s). The reflector's sequence numbers say which way a packet
was lost, its stamps how long each way took, by its own clock.
"""

import os
import socket
import time

from migrascope.model.stamp import BYTES, Reply, request
from migrascope.node.program import Program
from migrascope.probe.paced import Stream, probe
from migrascope.probe.stamped import StampedSocket

Row = tuple[int, int, int, int, int, int, int]
"""A row of stamp_reply."""


class StampSocket(StampedSocket):
    """Test packets to one reflector, never blocking."""

    def __init__(self, target: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        super().__init__(socket.socket(family, socket.SOCK_DGRAM), (target, port))
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
        for data, arrived, now, _ in self.arrived(most, BYTES):
            try:
                told = Reply(data)
            except ValueError:
                continue
            rows.append((told.seq, told.number, told.received_ns, told.sent_ns, told.ttl, arrived, now))
        return rows


def main(program: Program) -> None:
    """Sends until the program drains, receives until it ends."""
    config = program.config
    with (
        StampSocket(config["target"], config["port"]) as prober,
        program.spool("stamp_sent") as sent,
        program.spool("stamp_reply") as replies,
    ):
        probe(program, [Stream(prober, config["rate"], sent, replies)])


if __name__ == "__main__":
    main(Program.from_argv())
