"""Who moved: announcements, and frames from another place or another port."""

from pathlib import Path

import pytest

from captures import Packet, enhanced, ethernet, geneve, interface, ip, option, section, udp
from talks import BASE, CLIENT, SERVER, packet, read, written

PLACE, PORT = "first frame from another place", "first frame from another port"


def of_mac(frame: bytes, last: int) -> bytes:
    return frame[:6] + bytes([2, 0, 0, 0, 0, last]) + frame[12:]


def arp(operation: int, sender: str, target: str) -> bytes:
    def packed(address: str) -> bytes:
        return bytes(int(part) for part in address.split("."))

    return (
        b"\0\1\x08\0\6\4"
        + bytes([0, operation])
        + bytes([2, 0, 0, 0, 0, 9])
        + packed(sender)
        + bytes(6)
        + packed(target)
    )


def test_who_moved_is_told_by_announcements_and_other_places(tmp_path: Path) -> None:
    made = []
    for number in range(100):
        frame = ethernet(ip(SERVER, CLIENT, 17, udp((5, 6), bytes(number))))
        made.append(packet(10 * number, of_mac(frame, 1 if number < 60 else 2)))
        host = "203.0.113.1" if number < 70 else "203.0.113.9"
        inner = ethernet(ip("192.168.0.5", "192.168.0.6", 17, udp((5, 6), bytes(number))))
        made.append(packet(10 * number + 3, geneve(5, of_mac(inner, 7), ends=(host, "203.0.113.2"))))
    made.append(packet(595, ethernet(arp(3, "0.0.0.0", "0.0.0.0"), 0x8035)))
    made.append(packet(596, ethernet(arp(1, SERVER, SERVER), 0x0806)))
    made.append(packet(597, ethernet(arp(1, SERVER, CLIENT), 0x0806)))
    moments = read(written(tmp_path, made)).moments
    assert [(moment.kind, moment.address, moment.place) for moment in moments] == [
        ("RARP", "0.0.0.0", "02:00:00:00:00:09"),
        ("GARP", SERVER, "02:00:00:00:00:09"),
        (PLACE, SERVER, "02:00:00:00:00:02"),
        (PLACE, "192.168.0.5", "02:00:00:00:00:07 through 203.0.113.9"),
    ]
    assert [moment.time_s for moment in moments] == pytest.approx([0.595, 0.596, 0.6, 0.703])


def ported(folder: Path, made: list[tuple[Packet, int]], names: tuple[bytes, ...], *, cut: bool = False) -> Path:
    """A capture of several interfaces; cut: each is described right before its first packet."""
    blocks = [section()]
    described = 0 if cut else len(names)
    blocks += [interface(resolution=9, name=name) for name in names[:described]]
    for (time, frame, wire), which in sorted(made, key=lambda each: each[0][0]):
        blocks += [interface(resolution=9, name=name) for name in names[described : which + 1]]
        described = max(described, which + 1)
        blocks.append(enhanced(time, frame, wire, which=which))
    path = folder / "capture.pcapng"
    path.write_bytes(b"".join(blocks))
    return path


def served(number: int, last: int) -> Packet:
    return packet(10 * number, of_mac(ethernet(ip(SERVER, CLIENT, 17, udp((5, 6), bytes(number)))), last))


@pytest.mark.parametrize("cut", [False, True])
def test_who_moves_to_another_port_is_told_with_its_silence(tmp_path: Path, cut: bool) -> None:
    made = [(served(number, 1), 0 if number < 60 else 1) for number in range(150) if not 60 <= number < 80]
    made += [(packet(10 * at + 1, of_mac(ethernet(ip(CLIENT, SERVER, 17, udp((6, 5), bytes(at)))), 3)), 0)
             for at in range(150)]  # fmt: skip
    found = read(ported(tmp_path, made, (b"tap1", b"eth0"), cut=cut))
    (moment,) = found.moments
    assert (moment.kind, moment.address, moment.place) == (PORT, "02:00:00:00:00:01", "interface 1 (eth0)")
    assert moment.time_s == pytest.approx(0.8)
    (end,) = found.ends
    assert (end.address, end.silences[0].moved) == (SERVER, (moment,))


def test_who_sends_nothing_but_arp_moves_too(tmp_path: Path) -> None:
    made = [
        (packet(10 * at, of_mac(ethernet(arp(1, SERVER, CLIENT), 0x0806), 5)), 0 if at < 5 else 1) for at in range(9)
    ]
    (moment,) = read(ported(tmp_path, made, (b"a", b"b"))).moments
    assert (moment.kind, moment.address) == (PORT, "02:00:00:00:00:05")
    assert moment.time_s == pytest.approx(0.05)


def test_a_frame_that_a_bridge_sends_to_all_ports_is_no_move(tmp_path: Path) -> None:
    made = []
    for at in range(20):
        frame = of_mac(ethernet(arp(1, SERVER, CLIENT), 0x0806), 5)
        made += [(packet(10 * at, frame), 0), (packet(10 * at + 0.01, frame), 1)]
        made.append((served(at, 5), 0))
    assert read(ported(tmp_path, made, (b"a", b"b"))).moments == []


def test_who_is_at_many_ports_does_not_move(tmp_path: Path) -> None:
    made = [(served(number, 1), number // 3 % 2) for number in range(150)]
    assert read(ported(tmp_path, made, (b"a", b"b"))).moments == []


def test_what_leaves_through_a_port_does_not_come_from_it(tmp_path: Path) -> None:
    blocks = [section(), interface(resolution=9), interface(resolution=9)]
    for number in range(60):
        time, frame, wire = served(number, 1)
        way = (number >= 30) + 1  # inward at the first, then outward at the second
        blocks.append(enhanced(time, frame, wire, which=way - 1, options=option(2, bytes([way, 0, 0, 0]))))
    path = tmp_path / "capture.pcapng"
    path.write_bytes(b"".join(blocks))
    assert read(path).moments == []


def test_packets_without_a_hardware_address_move_by_their_own(tmp_path: Path) -> None:
    blocks = [section(), interface(resolution=9, link=101, name=b"tun0"), interface(resolution=9, link=101)]
    for number in range(60):
        content = ip(SERVER, CLIENT, 17, udp((5, 6), bytes(number)))
        blocks.append(enhanced(BASE + number * 10**7, content, len(content), which=int(number >= 30)))
    path = tmp_path / "capture.pcapng"
    path.write_bytes(b"".join(blocks))
    (moment,) = read(path).moments
    assert (moment.kind, moment.address, moment.place) == (PORT, SERVER, "interface 1")


def test_the_end_of_a_tunnel_over_ipv6_is_named(tmp_path: Path) -> None:
    made = []
    for number in range(60):
        inner = geneve(5, of_mac(ethernet(ip(SERVER, CLIENT, 17, udp((5, 6), bytes(number)))), 7))
        outer = ip("2001:db8::1" if number < 30 else "2001:db8::9", "2001:db8::2", 17, inner[34:])
        made.append(packet(10 * number, ethernet(outer, 0x86DD)))
    (moment,) = read(written(tmp_path, made)).moments
    assert moment.place == "02:00:00:00:00:07 through 2001:db8::9"
