"""Writes pcapng: one section, one interface, stamps in ns. Nothing of the machine is in it but the interface's name."""

import struct
from collections.abc import Iterable
from typing import BinaryIO

from migrascope import __version__

ETHERNET = 1
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_APPLICATION, _NAME, _TSRESOL, _FLAGS = 4, 2, 9, 2
_PACKET_HEAD = struct.Struct("<IIIIIII")
_FLAGS_AND_END = struct.Struct("<HHIHHI")
_PADS = (b"", b"\0\0\0", b"\0\0", b"\0")


def header(interface: str, snaplen: int, link: int = ETHERNET) -> bytes:
    """What a file begins with: the section, Migrascope's version as its application, and the interface."""
    section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + _option(_APPLICATION, f"migrascope {__version__}".encode())
    described = struct.pack("<HHI", link, 0, snaplen) + _option(_NAME, interface.encode()) + _option(_TSRESOL, b"\x09")
    return _block(_SECTION, section + _option(0, b"")) + _block(_INTERFACE, described + _option(0, b""))


def packet(time_ns: int, frame: bytes | memoryview, wire: int, direction: int = 0) -> bytes:
    """One frame's block. time_ns: since 1970; wire: its length before it was cut; direction: 1 in, 2 out, 0 unknown."""
    captured = len(frame)
    pad = _PADS[captured & 3]
    length = _PACKET_HEAD.size + captured + len(pad) + _FLAGS_AND_END.size
    head = _PACKET_HEAD.pack(_PACKET, length, 0, time_ns >> 32, time_ns & 0xFFFFFFFF, captured, wire)
    return b"".join((head, frame, pad, _FLAGS_AND_END.pack(_FLAGS, 4, direction, 0, 0, length)))


def write(file: BinaryIO, interface: str, packets: Iterable[tuple[int, bytes, int]], snaplen: int = 0) -> None:
    """A whole capture of (time in ns, frame, length on the wire). snaplen 0: no limit."""
    file.write(header(interface, snaplen))
    for time_ns, frame, wire in packets:
        file.write(packet(time_ns, frame, wire))


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + _PADS[len(value) & 3]


def _block(kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)
