"""Announcements on a link: frames as they are, and through the filter on loopback."""

import ipaddress
import socket
import struct
import time

import pytest

from migrascope.probe.neighbour import Announced, Listener, announcement_of
from migrascope.probe.stamped import Arrival

BROADCAST, MAC, OTHER = b"\xff" * 6, bytes.fromhex("525400000001"), bytes.fromhex("525400000002")
TEXT = "52:54:00:00:00:01"
NOBODY = b"\0" * 4
ADDRESS = ipaddress.IPv4Address("192.0.2.1").packed
ADDRESS_6 = ipaddress.IPv6Address("2001:db8::1").packed


def arp(kind: int, operation: int, sender: bytes, target: bytes) -> bytes:
    head = BROADCAST + MAC + struct.pack("!HHHBBH", kind, 1, 0x0800, 6, 4, operation)
    return head + MAC + sender + MAC + target + b"\0" * 18


def advertisement(flags: int, options: bytes, message: int = 136) -> bytes:
    body = struct.pack("!BBHI", message, 0, 0, flags << 24) + ADDRESS_6 + options
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + ADDRESS_6 + b"\xff\x02" + b"\0" * 13 + b"\1"
    return BROADCAST + OTHER + struct.pack("!H", 0x86DD) + head + body


RARP = arp(0x8035, 3, NOBODY, NOBODY)
GARP = arp(0x0806, 1, ADDRESS, ADDRESS)
NA = advertisement(0x20, b"\2\1" + MAC)


def test_who_announces_an_address_is_known() -> None:
    assert announcement_of(RARP) == Announced("rarp", "", TEXT)
    assert announcement_of(GARP) == Announced("garp", "192.0.2.1", TEXT)
    assert announcement_of(NA) == Announced("na", "2001:db8::1", TEXT)
    assert announcement_of(advertisement(0x20, b"")) == Announced("na", "2001:db8::1", "52:54:00:00:00:02")


@pytest.mark.parametrize(
    "frame",
    [
        b"", RARP[:30], GARP[:41], NA[:70],
        arp(0x0806, 1, ADDRESS, ipaddress.IPv4Address("192.0.2.2").packed),
        advertisement(0x60, b"\2\1" + MAC), advertisement(0x20, b"\2\1" + MAC, message=135),
    ],
)  # fmt: skip
def test_what_answers_or_asks_is_no_announcement(frame: bytes) -> None:
    assert announcement_of(frame) is None


def test_announcements_get_through_the_filter_and_nothing_else() -> None:
    try:
        listener = Listener("lo")
    except PermissionError:
        pytest.skip("needs the right to packet sockets")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("lo", 0))
        before = time.time_ns()
        for frame in (advertisement(0x20, b"", message=135), RARP, arp(0x0800, 1, ADDRESS, ADDRESS), GARP, NA):
            sender.send(frame)
        heard: list[tuple[Announced, Arrival]] = []
        deadline = time.monotonic() + 60
        while len(heard) < 3 and time.monotonic() < deadline:
            heard += listener.heard()
            time.sleep(0.01)
    listener.close()
    assert [announced.how for announced, _ in heard] == ["rarp", "garp", "na"]
    assert all(arrival.wall_ns >= before for _, arrival in heard)
