"""Test packets of STAMP (RFC 8762) in unauthenticated mode, with the session id of RFC 8972.

All numbers are big-endian. What a session-sender sends (RFC 8762, 4.2.1; RFC 8972, 3), 44 octets:

    0   4   sequence number
    4   8   time stamp: when it was sent
    12  2   error estimate of the time stamp
    14  2   SSID, 0 for none
    16  28  zero

What a session-reflector answers (4.3.1), 44 octets:

    0   4   sequence number: the reflector's own
    4   8   time stamp: when the answer was sent
    12  2   error estimate of the reflector's time stamps
    14  2   SSID, as it came
    16  8   receive time stamp: when the sender's packet came
    24  4   sequence number, as it came
    28  8   time stamp, as it came
    36  2   error estimate, as it came
    38  2   zero
    40  1   TTL with which the sender's packet came
    41  3   zero

What follows the 44 octets (padding, TLVs of RFC 8972) goes back as it came. A TLV says by its own flag, which its
sender sets and only a reflector that knows it clears, that it was not understood.

The guest runs this module too, on python3-minimal: it imports struct and nothing else.
"""

import struct

PORT = 862
BYTES = 44
PTP = 0x4000
"""The bit Z of an error estimate: its time stamps are PTPv2's (RFC 8186). Without it they are NTP's."""
SYNCHRONIZED = 0x8000
"""The bit S of an error estimate: the clock is synchronised to UTC."""
_SENDER = struct.Struct("!I8sHH28x")
_REFLECTOR = struct.Struct("!I8sHH8sI8sHxxB3x")
_HALVES = struct.Struct("!II")
_NTP_1970 = 2_208_988_800
_NS = 10**9
_WORST_S = 255 * 2.0**31


def time_stamp(ns: int, error: int) -> bytes:
    """8 octets for a time (ns since 1970, UTC) in the format of an error estimate: NTP's, seconds since 1900 and 2^-32
    of them; PTPv2's, seconds since 1970 and ns. Both wrap after 2^32 s."""
    seconds, rest = divmod(ns, _NS)
    if error & PTP:
        return _HALVES.pack(seconds & 0xFFFFFFFF, rest)
    return _HALVES.pack((seconds + _NTP_1970) & 0xFFFFFFFF, ((rest << 32) + _NS // 2) // _NS)


def time_of(stamp: bytes, error: int) -> int:
    """ns since 1970 of 8 octets: of NTP's in 1968 to 2104, of PTPv2's in 1970 to 2106. ValueError for a second of more
    than 10^9 ns."""
    seconds: int
    rest: int
    seconds, rest = _HALVES.unpack(stamp)
    if error & PTP:
        if rest >= _NS:
            raise ValueError(f"no PTPv2 time stamp: {rest} ns in a second")
        return seconds * _NS + rest
    era = 0 if seconds >> 31 else 1 << 32
    return (seconds + era - _NTP_1970) * _NS + ((rest * _NS + (1 << 31)) >> 32)


def error_estimate(error_s: float, *, synchronized: bool = False, ptp: bool = False) -> int:
    """The 16 bits that say how far time stamps may be off (RFC 4656, 4.1.2): S, Z, six bits of scale, eight of
    multiplier; the error is multiplier x 2^(scale - 32) s, here rounded up. ValueError when it is less than 0 or more
    than 255 x 2^31 s."""
    if not 0 <= error_s <= _WORST_S:
        raise ValueError(f"an error of {error_s} s cannot be said")
    units, scale = max(1, -int(-error_s * 2**32 // 1)), 0
    while units > 0xFF:
        units, scale = (units + 1) >> 1, scale + 1
    return (SYNCHRONIZED if synchronized else 0) | (PTP if ptp else 0) | scale << 8 | units


def error_s(error: int) -> float:
    """The seconds that an error estimate says."""
    return float(error & 0xFF) * 2.0 ** ((error >> 8 & 0x3F) - 32)


UNKNOWN_CLOCK = error_estimate(1.0)
"""The error estimate of a clock that nobody has set: within a second, perhaps."""


def request(seq: int, sent_ns: int, ssid: int = 0, error: int = UNKNOWN_CLOCK) -> bytes:
    """A session-sender's packet. sent_ns: since 1970, UTC."""
    return _SENDER.pack(seq, time_stamp(sent_ns, error), error, ssid)


class Request:
    """A session-sender's packet, taken apart: seq, sent_ns (since 1970), error (its error estimate), ssid."""

    __slots__ = ("_packet", "error", "sent_ns", "seq", "ssid")

    def __init__(self, packet: bytes) -> None:
        """ValueError when the octets are no such packet."""
        _long_enough(packet)
        self._packet = packet
        self.seq, stamp, self.error, self.ssid = _SENDER.unpack_from(packet)
        _true_error(self.error)
        self.sent_ns = time_of(stamp, self.error)

    def reply(self, number: int, received_ns: int, sent_ns: int, ttl: int) -> bytes:
        """A session-reflector's answer, in the sender's format of time stamps and as long as its packet. Times: since
        1970, UTC."""
        error = UNKNOWN_CLOCK | self.error & PTP
        stamps = time_stamp(sent_ns, error), time_stamp(received_ns, error)
        head = _REFLECTOR.pack(
            number, stamps[0], error, self.ssid, stamps[1], self.seq, self._packet[4:12], self.error, ttl
        )
        return head + self._packet[BYTES:]


class Reply:
    """A session-reflector's packet, taken apart: number (the reflector's own sequence number), received_ns and sent_ns
    (since 1970, by the reflector's clock), error, ssid; seq, asked_ns and asked_error of the sender, and the ttl with
    which its packet came."""

    __slots__ = ("asked_error", "asked_ns", "error", "number", "received_ns", "sent_ns", "seq", "ssid", "ttl")

    def __init__(self, packet: bytes) -> None:
        """ValueError when the octets are no such packet."""
        _long_enough(packet)
        (
            self.number, sent, self.error, self.ssid, received, self.seq, asked, self.asked_error, self.ttl,
        ) = _REFLECTOR.unpack_from(packet)  # fmt: skip
        _true_error(self.error)
        self.sent_ns, self.received_ns = time_of(sent, self.error), time_of(received, self.error)
        self.asked_ns = time_of(asked, self.asked_error)


def _long_enough(packet: bytes) -> None:
    if len(packet) < BYTES:
        raise ValueError(f"no STAMP test packet: {len(packet)} octets, and it has {BYTES} at least")


def _true_error(error: int) -> None:
    if not error & 0xFF:
        raise ValueError("no STAMP test packet: its error estimate has a multiplier of 0")
