"""What the kernel tells of its neighbours, read from its messages."""

import ipaddress
import socket
import struct

import pytest

from migrascope.probe.neighbour_state import Entry, entries

MAC = bytes.fromhex("525400000001")
TEXT = "52:54:00:00:00:01"
BRIDGE = 7


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(
    address: str, state: int, mac: bytes = MAC, *, kind: int = 28, family: int | None = None, flags: int = 0
) -> bytes:
    """RTM_NEWNEIGH, or another: struct nlmsghdr, struct ndmsg, NDA_DST, NDA_LLADDR and NDA_PROBES."""
    packed = ipaddress.ip_address(address).packed
    family = family if family is not None else socket.AF_INET6 if len(packed) == 16 else socket.AF_INET
    body = struct.pack("=B3xiHBB", family, 3, state, flags, 1) + attribute(1, packed)
    body += (attribute(2, mac) if mac else b"") + attribute(4, bytes(4))
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_an_entry_has_its_address_state_and_mac() -> None:
    said = message("192.0.2.7", 0x02) + message("fd00::7", 0x04) + message("192.0.2.8", 0x20, b"")
    assert list(entries(said)) == [
        Entry("192.0.2.7", "reachable", TEXT), Entry("fd00::7", "stale", TEXT), Entry("192.0.2.8", "failed", ""),
    ]  # fmt: skip


def test_one_that_was_removed_holds_no_mac() -> None:
    assert list(entries(message("fd00::7", 0x04, kind=29))) == [Entry("fd00::7", "gone", "")]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        message("192.0.2.7", 0x02, kind=16),
        message("192.0.2.7", 0x02, family=BRIDGE),
        message("192.0.2.7", 0x02, family=socket.AF_INET6),
        message("192.0.2.7", 0x80, flags=0x08),
        message("192.0.2.7", 0x02)[:20],
        message("192.0.2.7", 0x02)[:30],
        bytes(40),
    ],
    ids=["nothing", "a link", "a bridge's", "another family's", "a proxy's", "no entry", "half an address", "zeros"],
)
def test_what_is_no_neighbour_is_left_out(said: bytes) -> None:
    assert list(entries(said)) == []


def test_what_comes_behind_something_else_is_read() -> None:
    said = message("192.0.2.7", 0x02, kind=3) + message("192.0.2.7", 0x10)
    assert list(entries(said)) == [Entry("192.0.2.7", "probe", TEXT)]
