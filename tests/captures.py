"""Captures made by hand, in every dialect, for tests of what reads them."""

import ipaddress
import struct
from collections.abc import Iterable, Sequence

Packet = tuple[int, bytes, int]
"""(ns since 1970, captured bytes, length on the wire)"""


def classic(packets: Iterable[Packet], *, order: str = "<", nano: bool = False, link: int = 1) -> bytes:
    """A pcap file."""
    out = bytearray(struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, link))
    for time_ns, frame, wire in packets:
        fraction = time_ns % 10**9 // (1 if nano else 1000)
        out += struct.pack(order + "IIII", time_ns // 10**9, fraction, len(frame), wire) + frame
    return bytes(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(
    order: str = "<", link: int = 1, *, resolution: int | None = None, offset_s: int | None = None, name: bytes = b""
) -> bytes:
    body = struct.pack(order + "HHI", link, 0, 0)
    if name:
        body += option(2, name, order)
    if resolution is not None:
        body += option(9, bytes([resolution]), order)
    if offset_s is not None:
        body += option(14, struct.pack(order + "q", offset_s), order)
    return block(1, body + option(0, b"", order), order)


def enhanced(stamp: int, frame: bytes, wire: int, *, which: int = 0, order: str = "<", options: bytes = b"") -> bytes:
    """An enhanced packet block; stamp in the interface's units."""
    head = struct.pack(order + "IIIII", which, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), wire)
    return block(6, head + frame + bytes(-len(frame) % 4) + options, order)


def ethernet(payload: bytes, kind: int = 0x0800, tags: Sequence[int] = (), *, vlan: int = 7) -> bytes:
    """An Ethernet frame; tags: the types of VLAN tags, outermost first; vlan: the number of each."""
    out = bytes(12)
    for tag in tags:
        out += struct.pack(">HH", tag, vlan)
    return out + struct.pack(">H", kind) + payload


def ip(source: str, target: str, protocol: int, payload: bytes, *, fragment: int = 0, ident: int = 1) -> bytes:
    """An IPv4 or IPv6 packet, as the addresses are. fragment, ident: of IPv4."""
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    if len(ends) == 32:
        return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), ident, fragment, 64, protocol, 0) + ends + payload


def tcp(
    ports: tuple[int, int], seq: int, ack: int, flags: int, payload: bytes = b"",
    *, stamps: tuple[int, int] | None = None, window: int = 500, lead: bytes = b"\1\1",
) -> bytes:  # fmt: skip
    """A TCP segment; lead: options before the time stamps."""
    options = lead + struct.pack(">BBII", 8, 10, *stamps) if stamps else b""
    options += bytes(-len(options) % 4)
    offset = (20 + len(options)) // 4 << 4
    return struct.pack(">HHIIBBHHH", *ports, seq, ack, offset, flags, window, 0, 0) + options + payload


def udp(ports: tuple[int, int], payload: bytes) -> bytes:
    return struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload


def icmp(kind: int, ident: int, seq: int, payload: bytes = bytes(56)) -> bytes:
    whole = struct.pack(">BBHHH", kind, 0, 0, ident, seq) + payload
    total = sum(struct.unpack(f">{len(whole) // 2}H", whole[: len(whole) // 2 * 2]))
    total = (total & 0xFFFF) + (total >> 16)
    return whole[:2] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + whole[4:]


def rtp(seq: int, stamp: int, source: int = 77, kind: int = 0, payload: bytes = bytes(160)) -> bytes:
    return struct.pack(">BBHII", 0x80, kind, seq & 0xFFFF, stamp & 0xFFFFFFFF, source) + payload


def vxlan(
    network: int, frame: bytes, ends: tuple[str, str] = ("203.0.113.1", "203.0.113.2"), port: int = 4789
) -> bytes:
    """A frame in VXLAN, as an Ethernet frame."""
    head = struct.pack(">II", 0x08 << 24, network << 8)
    return ethernet(ip(*ends, 17, udp((50000, port), head + frame)))


def geneve(
    network: int, frame: bytes, *, options: int = 2, ends: tuple[str, str] = ("203.0.113.1", "203.0.113.2")
) -> bytes:
    """A frame in Geneve with so many words of options, as an Ethernet frame."""
    head = struct.pack(">BBHI", options, 0, 0x6558, network << 8) + bytes(4 * options)
    return ethernet(ip(*ends, 17, udp((50000, 6081), head + frame)))


def gre(
    payload: bytes, kind: int, *, key: int | None = None, ends: tuple[str, str] = ("203.0.113.1", "203.0.113.2")
) -> bytes:
    """A packet in GRE, as an Ethernet frame."""
    head = struct.pack(">HH", 0x2000 if key is not None else 0, kind)
    return ethernet(ip(*ends, 47, head + (struct.pack(">I", key) if key is not None else b"") + payload))


def nflog(payload: bytes) -> bytes:
    """A packet as NFLOG has it, behind an attribute of 6 bytes."""
    attributes = struct.pack("<HH", 6, 10) + b"a\0\0\0" + struct.pack("<HH", 4 + len(payload), 9) + payload
    return b"\2\0\0\1" + attributes


def pppoe(payload: bytes, protocol: int = 0x21) -> bytes:
    return ethernet(struct.pack(">BBHHH", 0x11, 0, 3, len(payload) + 2, protocol) + payload, 0x8864)


def snap(payload: bytes, kind: int = 0x0800) -> bytes:
    return bytes(12) + struct.pack(">H", 8 + len(payload)) + b"\xaa\xaa\3\0\0\0" + struct.pack(">H", kind) + payload


def mpls(payload: bytes, labels: int = 2) -> bytes:
    """A packet below so many labels, as an Ethernet frame."""
    stack = b"".join(struct.pack(">I", 16 + at << 12 | (at == labels - 1) << 8 | 64) for at in range(labels))
    return ethernet(stack + payload, 0x8847)


def unreachable(code: int, about: bytes, *, kept: int = 28) -> bytes:
    """ICMP's "destination unreachable" about an IPv4 packet, or an IPv6 packet (kept: 48 at least) of which so many
    bytes are in it."""
    six = about[0] >> 4 == 6
    whole = struct.pack(">BBHI", 1 if six else 3, code, 0, 0) + about[:kept]
    return whole + bytes(len(whole) % 2)
