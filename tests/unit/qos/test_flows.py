"""Flows told apart, and what is in none."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from captures import classic, ethernet, ip, udp, vxlan
from migrascope.qos import flows as flows_module
from migrascope.qos.examine import examine
from talks import BASE, CLIENT, SERVER, Conversation, answered, measured, only, sent_by, tagged


def test_the_same_ends_in_two_networks_are_two_flows(tmp_path: Path) -> None:
    talk = answered(Conversation(), 20)
    in_vxlan = [
        [(time + number, vxlan(number, frame), wire + 50) for time, frame, wire in talk.packets] for number in (5, 6)
    ]
    for packets, names in (
        (tagged(talk.packets, 10, 0) + tagged(talk.packets, 20, 3), [("VLAN 10",), ("VLAN 20",)]),
        (in_vxlan[0] + in_vxlan[1], [("VXLAN 5",), ("VXLAN 6",)]),
    ):
        flows = measured(tmp_path, packets).flows
        assert [flow.inside for flow in flows] == names
        assert [sent_by(flow, CLIENT).counts["retransmitted"] for flow in flows] == [0, 0]
        assert [flow.initial_rtt.value for flow in flows] == pytest.approx([0.010, 0.010])


def test_two_ways_through_two_networks_are_one_flow(tmp_path: Path) -> None:
    talk = answered(Conversation(), 20)
    asked = [packet for packet in talk.packets if packet[1][34:36] != b"\0P"]
    told = [packet for packet in talk.packets if packet[1][34:36] == b"\0P"]
    for packets in (tagged(asked, 10, 0) + told, tagged(asked, 10, 0) + tagged(told, 20, 0)):
        flow = only(measured(tmp_path, packets))
        assert flow.initial_rtt.value == pytest.approx(0.010)
        assert sent_by(flow, CLIENT).metrics["delay_s"].samples == 21


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    for link, frame, words in (
        (127, bytes(60), "link type 127"),
        (239, b"\2\0\0\5\0\x2c\0\x09" + bytes(40), "link type 239"),  # of a machine with the upper byte first
        (1, ethernet(bytes(40), 0x88CC), "LLDP"),
        (1, ethernet(bytes(40), 0x1234 + 0x0800), "EtherType 0x1a34"),
        (1, bytes(12) + b"\0\x26\x42\x42\3" + bytes(35), "802.2 LLC 0x42"),
        (9, b"\xc0\x21" + bytes(20), "PPP protocol 0xc021"),
        (1, vxlan(5, ethernet(bytes(28), 0x0806)), "ARP"),
    ):
        path.write_bytes(classic([(BASE, frame, len(frame))] * 23, link=link))
        found = examine(path)
        assert (found.totals.no_ip, found.flows) == ({words: 23}, [])


def test_one_server_and_which_side_it_is(tmp_path: Path) -> None:
    talk = Conversation()
    talk.server(0, 1, 1, 100)
    talk.client(5, 1, 101)
    other = ethernet(ip("10.0.0.3", "10.0.0.4", 17, udp((5, 6), b"")))
    packets = [*talk.packets, (BASE, other, len(other))]
    assert {flow.protocol for flow in measured(tmp_path, packets).flows} == {"tcp", "udp"}
    flow = only(measured(tmp_path, packets, server=SERVER))
    assert [direction.receiver for direction in flow.directions] == [f"{SERVER}:80", f"{CLIENT}:40000"]


def test_what_is_not_measured_is_counted(tmp_path: Path) -> None:
    frames = [ethernet(b"arp", 0x0806), ethernet(ip(CLIENT, SERVER, 46, b"rsvp")), ethernet(ip(CLIENT, SERVER, 6, b""))]
    found = measured(tmp_path, [(BASE, frame, 100) for frame in frames])
    assert (found.totals.packets, found.flows) == (3, [])
    assert (found.totals.no_ip, found.totals.not_measured) == ({"ARP": 1}, {"IP protocol 46": 1, "TCP, cut off": 1})


def test_no_packets_at_all(tmp_path: Path) -> None:
    found = measured(tmp_path, [])
    assert (found.totals.packets, found.flows) == (0, [])
    assert json.loads("".join(found.as_json()))["flows"] == []


def test_flows_beyond_the_most_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows_module, "MOST_FLOWS", 10)
    frames = [ethernet(ip(CLIENT, SERVER, 17, udp((1000 + port, 6), b""))) for port in range(25) for _ in range(2)]
    found = measured(tmp_path, [(BASE + at, frame, len(frame)) for at, frame in enumerate(frames)])
    assert len(found.flows) == 10
    assert found.totals.further == 30


def test_flows_whose_hashes_share_their_upper_bits_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    names = np.array([7 << 40 | 5, 7 << 40 | 9, 7 << 40 | 5, 3 << 40, 7 << 40 | 9] * 20, dtype=np.uint64)
    order = flows_module._by_flow(names)
    found = [(int(name), list(rows)) for name, rows in itertools.groupby(order, key=lambda row: int(names[row]))]
    assert [name for name, _ in found] == sorted({int(name) for name in names})
    assert all(rows == sorted(rows) and len(rows) in (20, 40) for _, rows in found)


def test_fragments_of_packets_that_are_not_measured_are_in_no_flow(tmp_path: Path) -> None:
    talk = answered(Conversation(), 20)
    packets = list(talk.packets)
    # a transport that is not measured, and an ICMP error: neither first fragment is a flow's, so no later one is
    for protocol, first in ((24, bytes(40)), (1, b"\x03\x01\0\0" + bytes(36))):
        for number, (flagged, payload) in enumerate(((0x2000, first), (5, bytes(40)))):
            frame = ethernet(ip(CLIENT, SERVER, protocol, payload, fragment=flagged, ident=protocol))
            packets.append((BASE + protocol * 10**6 + number, frame, len(frame)))
    found = measured(tmp_path, packets)
    assert only(found).protocol == "tcp"
    assert sum(found.totals.not_measured.values()) == 4
