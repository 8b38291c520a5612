"""TCP handshakes as probes, where ICMP does not get through: the same interface as icmp.EchoSocket.

A probe is a SYN to a port that listens; its reply the SYN-ACK, stamped by the kernel's own measure of that handshake
(tcpi_rtt). A handshake that took 0.9 s is given up before the kernel would send its SYN again: it is a lost probe.
"""

import errno
import socket
import struct
import time
from typing import Self

GIVEN_UP_NS = 900_000_000
"""Less than TCP's first retransmission timeout (RFC 6298: 1 s)."""
_RTT_OFFSET = 68  # struct tcp_info: tcpi_rtt, us
_LINGER_NONE = struct.pack("ii", 1, 0)  # closed with RST: no TIME-WAIT, nothing for the server to serve
_ESTABLISHED = 1


class ConnectSocket:
    """Handshakes with one address (IPv4 or IPv6) and port, never blocking."""

    def __init__(self, target: str, port: int) -> None:
        self._target = (target, port)
        self._family = socket.AF_INET6 if ":" in target else socket.AF_INET
        self._open: dict[int, tuple[socket.socket, int, int]] = {}

    def request(self, seq: int) -> bytes:
        """A packet for `send`: the seq alone, for the handshake is the kernel's."""
        return seq.to_bytes(8, "big")

    def send(self, packet: bytes) -> int:
        """Sends a SYN and returns the stamp right before (ns). One that the kernel refuses is a lost one."""
        probe = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        before, wall = time.monotonic_ns(), time.time_ns()
        error = probe.connect_ex(self._target)
        if error in (0, errno.EINPROGRESS):
            self._open[int.from_bytes(packet, "big")] = (probe, before, wall)
        else:
            probe.close()
        return before

    def receive(self, most: int) -> list[tuple[int, int, int]]:
        """The handshakes that are done: (seq, when the SYN-ACK came in wall ns, the stamp of looking in ns)."""
        replies, now = [], time.monotonic_ns()
        for seq, (probe, sent, wall) in list(self._open.items())[:most]:
            info = probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            (rtt_us,) = struct.unpack_from("I", info, _RTT_OFFSET)
            # The kernel keeps its measure when the server has closed the connection meanwhile.
            if info[0] == _ESTABLISHED or rtt_us:
                replies.append((seq, wall + 1000 * rtt_us, now))
            elif now - sent < GIVEN_UP_NS and probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                continue
            probe.close()
            del self._open[seq]
        return replies

    @property
    def pending(self) -> int:
        """How many handshakes are under way."""
        return len(self._open)

    def close(self) -> None:
        for probe, _, _ in self._open.values():
            probe.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
