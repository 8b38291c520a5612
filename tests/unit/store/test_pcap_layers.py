"""Headers of captured frames, on every link type and in every tunnel, whole or cut."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pcapends import BASE, A, B

from captures import (
    classic,
    ethernet,
    geneve,
    gre,
    icmp,
    ip,
    mpls,
    nflog,
    pppoe,
    snap,
    tcp,
    udp,
    vxlan,
)
from migrascope.store.pcap.layers import address, headers, time_stamps
from migrascope.store.pcap.reader import Capture

SEGMENT = ethernet(ip(A, B, 6, tcp((40000, 80), 7, 9, 16, b"x" * 30, stamps=(1, 2))))
INNER4 = ip(A, B, 6, tcp((40000, 80), 7, 9, 16, b"x" * 30, stamps=(1, 2)))
INNER6 = ip("2001:db8::1", "2001:db8::2", 6, tcp((40000, 80), 7, 9, 16, b"x" * 30, stamps=(1, 2)))
FRAMES = {
    "ethernet": (1, ethernet(INNER4)),
    "ethernet, IPv6": (1, ethernet(INNER6, 0x86DD)),
    "VLAN": (1, ethernet(INNER4, tags=[0x8100])),
    "QinQ": (1, ethernet(INNER6, 0x86DD, tags=[0x88A8, 0x8100])),
    "Linux SLL": (113, bytes(14) + b"\x08\0" + INNER4),
    "Linux SLL2": (276, b"\x86\xdd" + bytes(18) + INNER6),
    "raw": (101, INNER4),
    "raw IPv6": (101, INNER6),
    "three tags": (1, ethernet(INNER4, tags=[0x88A8, 0x8100, 0x8100])),
    "SLL with a VLAN tag": (113, bytes(14) + b"\x81\0\0\7\x08\0" + INNER4),
    "BSD loopback": (0, b"\2\0\0\0" + INNER4),
    "SNAP": (1, snap(INNER4)),
    "NFLOG": (239, nflog(INNER4)),
    "NFLOG, IPv6": (239, nflog(INNER6)),
    "PPPoE": (1, pppoe(INNER4)),
    "PPPoE, IPv6, in a VLAN": (1, ethernet(pppoe(INNER6, 0x57)[14:], 0x8864, tags=[0x8100])),
    "PPP": (9, b"\0\x21" + INNER4),
    "PPP with address and control": (9, b"\xff\3\0\x57" + INNER6),
    "PPP, compressed": (9, b"\x21" + INNER4),
    "PPP as HDLC": (50, b"\xff\3\0\x21" + INNER4),
    "PPPoE alone": (51, pppoe(INNER4)[14:]),
    "MPLS": (1, mpls(INNER4)),
    "MPLS, IPv6": (1, mpls(INNER6, 1)),
    "MPLS, pseudowire": (1, mpls(bytes(4) + ethernet(INNER4))),
    "VXLAN": (1, vxlan(5, ethernet(INNER4))),
    "VXLAN, the old port": (1, vxlan(5, ethernet(INNER6, 0x86DD), port=8472)),
    "VXLAN in IPv6": (1, b"".join((bytes(12), b"\x86\xdd", ip("::1", "::2", 17, vxlan(5, ethernet(INNER4))[34:])))),
    "Geneve": (1, geneve(5, ethernet(INNER4))),
    "Geneve without options, a tag inside": (1, geneve(5, ethernet(INNER4, tags=[0x8100]), options=0)),
    "GRE": (1, gre(INNER4, 0x0800)),
    "GRE with a key": (1, gre(INNER6, 0x86DD, key=9)),
    "GRE, Ethernet": (1, gre(ethernet(INNER4), 0x6558)),
    "IP in IP": (101, ip("203.0.113.1", "203.0.113.2", 4, INNER4)),
    "6in4": (101, ip("203.0.113.1", "203.0.113.2", 41, INNER6)),
    "Geneve in VXLAN in a VLAN": (1, ethernet(vxlan(5, geneve(6, ethernet(INNER4)))[14:], tags=[0x8100])),
}


@pytest.mark.parametrize(("link", "frame"), FRAMES.values(), ids=FRAMES)
def test_every_link_type(path: Path, link: int, frame: bytes) -> None:
    path.write_bytes(classic([(BASE, frame, len(frame))], link=link))
    (frames,) = Capture(path).batches()
    found = headers(frames)
    stamps = time_stamps(found, rows := np.arange(len(found)), found.blocks(rows))
    assert (found.protocol[0], found.source_port[0], found.target_port[0], found.payload[0]) == (6, 40000, 80, 30)
    assert (stamps.there[0], stamps.value[0], stamps.echoed[0]) == (True, 1, 2)
    assert address(found, 0) in ((A, B), ("2001:db8::1", "2001:db8::2"))


def test_hop_by_hop_and_fragments(path: Path) -> None:
    segment = tcp((1, 2), 0, 0, 16)
    made = [
        ethernet(ip("::1", "::2", 0, b"\x06\0" + bytes(6) + segment), 0x86DD),
        ethernet(ip("::1", "::2", 44, struct.pack(">BBHI", 6, 0, 1, 1) + segment), 0x86DD),
        ethernet(ip("::1", "::2", 44, struct.pack(">BBHI", 6, 0, 185 << 3, 1) + segment), 0x86DD),
        ethernet(ip(A, B, 6, segment, fragment=0x2000)),
        ethernet(ip(A, B, 6, segment, fragment=185)),
    ]
    path.write_bytes(classic([(BASE, frame, len(frame)) for frame in made]))
    protocols = [kind for frames in Capture(path).batches() for kind in headers(frames).protocol.tolist()]
    assert protocols == [6, 6, 0, 6, 0]


def test_both_directions_share_their_ends(path: Path) -> None:
    made = [
        ethernet(ip(A, B, 17, udp((5, 6), b"a"))),
        ethernet(ip(B, A, 17, udp((6, 5), b"b"))),
        ethernet(ip(A, B, 6, tcp((5, 6), 0, 0, 16))),
        ethernet(ip(A, B, 1, icmp(8, 3, 1))),
        ethernet(ip(B, A, 1, icmp(0, 3, 1))),
    ]
    path.write_bytes(classic([(BASE, frame, len(frame)) for frame in made]))
    ends = [
        (int(s), int(t))
        for frames in Capture(path).batches()
        for found in [headers(frames)]
        for s, t in zip(found.source, found.target, strict=True)
    ]
    assert ends[0] == ends[1][::-1]
    assert ends[3] == ends[4][::-1]
    assert len(set(ends)) == 5


@pytest.mark.parametrize("kept", range(len(SEGMENT) + 1))
def test_cut_by_the_snaplen(path: Path, kept: int) -> None:
    path.write_bytes(classic([(BASE, SEGMENT[:kept], len(SEGMENT))]))
    (frames,) = Capture(path).batches()
    found = headers(frames)
    assert found.protocol[0] == (6 if kept >= 54 else 0)
    assert found.version[0] == (4 if kept >= 34 else 0)
    assert found.payload[0] == (30 if kept >= 54 else 0)
    stamps = time_stamps(found, rows := np.arange(len(found)), found.blocks(rows))
    assert stamps.there[0] == (kept >= 66)


@settings(max_examples=30)
@given(st.binary(max_size=20))
def test_options_of_any_kind_do_no_harm(path: Path, lead: bytes) -> None:
    lead = lead + bytes(-len(lead) % 4)
    frame = ethernet(ip(A, B, 6, tcp((1, 2), 0, 0, 16, stamps=(5, 6), lead=lead + b"\1\1")))
    path.write_bytes(classic([(BASE, frame, len(frame))]))
    (frames,) = Capture(path).batches()
    found = headers(frames)
    stamps = time_stamps(found, rows := np.arange(len(found)), found.blocks(rows))
    expected = _expected(lead + b"\1\1" + struct.pack(">BBII", 8, 10, 5, 6))
    assert (bool(stamps.there[0]), (int(stamps.value[0]), int(stamps.echoed[0])) if stamps.there[0] else None) == (
        expected is not None,
        expected,
    )


def _expected(options: bytes) -> tuple[int, int] | None:
    at = 0
    while at < len(options) and options[at]:
        if options[at] == 1:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if options[at] == 8 and size == 10 and at + 10 <= len(options):
            value, echoed = struct.unpack(">II", options[at + 2 : at + 10])
            return value, echoed
        if size < 2:
            return None
        at += size
    return None
