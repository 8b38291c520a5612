"""A session-reflector of STAMP (RFC 8762), stateful. Runs in the guest, on python3-minimal.

    port=862

It answers each test packet, over IPv4 and IPv6, with its own sequence number for that session, so that the sender can
tell which way a packet was lost. Receive stamps are the kernel's: how long a packet waited for this program is no part
of its delay.
"""

import socket
import struct
import time

from migrascope.guest.workers import Status
from migrascope.model.stamp import Request

MOST_SESSIONS = 64
SAID_S = 0.5
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_IP_TTL, _IP_RECVTTL = 2, 12
_IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 51, 52
_TIMESPEC = struct.Struct("@qq")
_TTL = struct.Struct("@i")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_TTL.size)
_RECEIVE_BUFFER = 4 << 20
_LONGEST = 2**16


class Sessions:
    """The next sequence number of each session, a sender's address, port and SSID. A session begins anew with a packet
    of the number 0, and where there are too many of them the one that was silent the longest."""

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._most = most
        self._next: dict[tuple[str, int, int], int] = {}

    def number(self, session: tuple[str, int, int], seq: int) -> int:
        """The number of the answer that is due now, to the packet `seq`."""
        known = self._next.pop(session, 0)
        number = known if seq else 0
        if len(self._next) >= self._most:
            del self._next[next(iter(self._next))]
        self._next[session] = (number + 1) & 0xFFFFFFFF
        return number


def listening(port: int) -> socket.socket:
    """A socket that stamps what comes and has room for what comes at once, over IPv6 and, with mapped addresses, over
    IPv4: one for both, for an emulated guest feels a second call for each packet. OSError when the port is not to be
    had."""
    stream = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    stream.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    stream.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    stream.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
    stream.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
    try:
        stream.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    stream.bind(("::", port))
    return stream


def answer(stream: socket.socket, sessions: Sessions) -> bool:
    """Takes the next packet; False when it is no test packet, or the network would not take the answer."""
    packet, ancillary, _, sender = stream.recvmsg(_LONGEST, _ANCILLARY)
    received, ttl = time.time_ns(), 0
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, rest = _TIMESPEC.unpack(data)
            received = seconds * 10**9 + rest
        elif (level, kind) in ((socket.IPPROTO_IP, _IP_TTL), (socket.IPPROTO_IPV6, _IPV6_HOPLIMIT)):
            (ttl,) = _TTL.unpack(data)
    try:
        asked = Request(packet)
        number = sessions.number((sender[0], sender[1], asked.ssid), asked.seq)
        stream.sendto(asked.reply(number, received, time.time_ns(), ttl), sender)
    except (ValueError, OSError):
        return False
    return True


def run(status: Status, options: dict[str, str]) -> None:
    """Answers until it is killed. OSError when the port is not to be had."""
    stream, sessions, answered = listening(int(options["port"])), Sessions(), 0
    status.write("running")
    said = time.monotonic()
    while True:
        answered += answer(stream, sessions)
        if time.monotonic() - said >= SAID_S:
            said = time.monotonic()
            status.write("running", 0, answered)
