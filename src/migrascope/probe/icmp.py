"""ICMP echo (RFC 792, for IPv6 RFC 4443): requests, replies, and a socket whose receive stamps are the kernel's."""

import os
import socket
import struct
from contextlib import suppress
from time import monotonic_ns

from migrascope.probe.stamped import StampedSocket

ECHO_REPLY = 0
ECHO_REQUEST = 8
ECHO_REQUEST_6, ECHO_REPLY_6 = 128, 129
PAYLOAD_BYTES = 56
_HEADER = struct.Struct("!BBHHH")
_PAYLOAD = struct.Struct(f"!QQ{PAYLOAD_BYTES - 16}x")
_SOL_RAW = 255
_ICMP_FILTER = _ICMP6_FILTER = 1
_MOST_BYTES = 256


def checksum(packet: bytes) -> int:
    """The internet checksum (RFC 1071); 0 over a packet that carries its own."""
    number = int.from_bytes(packet + b"\0" * (len(packet) % 2))
    # a number is its 16-bit words' sum modulo 2**16 - 1, which their one's complement sum never gives as 0
    return 0xFFFF - ((number - 1) % 0xFFFF + 1 if number else 0)


def request(ident: int, token: int, seq: int) -> bytes:
    """An echo request. seq is carried whole in the payload: the header's 16 bits wrap within a trial."""
    payload = _PAYLOAD.pack(token, seq)
    sum_ = checksum(_HEADER.pack(ECHO_REQUEST, 0, 0, ident, seq & 0xFFFF) + payload)
    return _HEADER.pack(ECHO_REQUEST, 0, sum_, ident, seq & 0xFFFF) + payload


def request_6(ident: int, token: int, seq: int) -> bytes:
    """The same for IPv6, without its checksum, which the kernel puts in (RFC 3542, 3.1)."""
    return _HEADER.pack(ECHO_REQUEST_6, 0, 0, ident, seq & 0xFFFF) + _PAYLOAD.pack(token, seq)


def reply_seq(packet: bytes, token: int, kind: int = ECHO_REPLY) -> int | None:
    """The seq of an echo reply (without IP header, of type `kind`) to a request with this token; None for every other
    packet."""
    if len(packet) != _HEADER.size + PAYLOAD_BYTES or packet[0] != kind:
        return None
    came, seq = _PAYLOAD.unpack_from(packet, _HEADER.size)
    return seq if came == token else None


class EchoSocket(StampedSocket):
    """Echo requests to one address, IPv4 or IPv6, never blocking. Replies to others' requests are left out by a random
    token.

    A raw socket; without the right to one, the kernel's ping socket (net.ipv4.ping_group_range, for IPv6 too).
    PermissionError when neither is allowed, another OSError where there is no way to the address.
    """

    def __init__(self, target: str) -> None:
        self._six = ":" in target
        opened = _opened(six=self._six)
        self.raw = opened.type == socket.SOCK_RAW
        try:
            super().__init__(opened, (target, 0))
        except OSError:
            opened.close()
            raise
        self._send = opened.send
        self._headed = self.raw and not self._six  # only raw IPv4 sockets give the IP header, too (raw(7), RFC 3542)
        self._reply = ECHO_REPLY_6 if self._six else ECHO_REPLY
        self._ident = int.from_bytes(os.urandom(2))
        self._token = int.from_bytes(os.urandom(8))

    def request(self, seq: int) -> bytes:
        """A packet for `send`."""
        return (request_6 if self._six else request)(self._ident, self._token, seq)

    def send(self, packet: bytes) -> int:
        """Sends a packet and returns the stamp right before (ns). One that the kernel refuses (no route, no buffer)
        is a lost one, not an error. Sending may report an error about an earlier packet instead, and sends then the
        next time."""
        before = monotonic_ns()
        try:
            self._send(packet)
        except OSError:
            with suppress(OSError):
                self._send(packet)
        return before

    def receive(self, most: int) -> list[tuple[int, int, int]]:
        """The replies that have come, `most` packets at a time: (seq, the kernel's receive stamp in wall ns, the
        stamp of reading in ns)."""
        replies = []
        for data, arrived, now, _ in self.arrived(most, _MOST_BYTES):
            seq = reply_seq(data[(data[0] & 0x0F) * 4 :] if self._headed else data, self._token, self._reply)
            if seq is not None:
                replies.append((seq, arrived, now))
        return replies


def _opened(*, six: bool) -> socket.socket:
    """A socket of its family; a raw one takes echo replies alone."""
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    try:
        opened = socket.socket(family, socket.SOCK_RAW, protocol)
    except PermissionError:
        return socket.socket(family, socket.SOCK_DGRAM, protocol)
    if six:
        blocked = [0xFFFFFFFF] * 8
        blocked[ECHO_REPLY_6 >> 5] &= ~(1 << (ECHO_REPLY_6 & 31))
        opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("8I", *blocked))
    else:
        opened.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", 0xFFFFFFFF & ~(1 << ECHO_REPLY)))
    return opened
