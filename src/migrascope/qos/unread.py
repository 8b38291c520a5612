"""What the packets are that no flow is made of."""

import numpy as np

from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import Bools, Headers
from migrascope.store.pcap.links import CUT, OF_LINK, OF_LLC, OF_PPP

_TYPES = {
    0x0806: "ARP", 0x8035: "RARP", 0x88CC: "LLDP", 0x888E: "802.1X", 0x8809: "LACP and other slow protocols",
    0x8863: "PPPoE discovery", 0x8864: "PPPoE sessions", 0x8847: "MPLS", 0x8848: "MPLS", 0x86DD: "IPv6, cut off",
    0x0800: "IPv4, cut off", 0x88F7: "PTP", 0x9000: "loopback test", 0x8808: "Ethernet flow control",
    0x88A8: "VLAN tags, too many or cut off", 0x8100: "VLAN tags, too many or cut off",
}  # fmt: skip
_PROTOCOLS = {
    1: "ICMP, no echo", 2: "IGMP", 4: "IP in IP", 6: "TCP, cut off", 17: "UDP, cut off", 41: "IPv6 in IP", 47: "GRE",
    50: "ESP", 51: "AH", 58: "ICMPv6, no echo", 89: "OSPF", 103: "PIM", 112: "VRRP", 132: "SCTP",
}  # fmt: skip


def named(headers: Headers, measured: Bools, no_ip: dict[str, int], others: dict[str, int]) -> None:
    """Adds the packets that are not measured to the counts by what they are: those that are no IP, and the others."""
    rest = np.flatnonzero(~measured)
    plain = rest[headers.version[rest] == 0]
    for value, count in _counted(headers.kind[plain]):
        _add(no_ip, _frame(value), count)
    later = np.isin(rest, headers.fragments.rows[~headers.fragments.first]) & (headers.version[rest] > 0)
    if later.any():
        _add(others, "fragments whose first one is not there", int(later.sum()))
    for value, count in _counted(headers.said[rest[~later & (headers.version[rest] > 0)]].astype(np.int64)):
        _add(others, _PROTOCOLS.get(value, f"IP protocol {value}"), count)


def _frame(kind: int) -> str:
    if kind < OF_LINK:
        return _TYPES.get(kind, f"EtherType 0x{kind:04x}")
    if kind >= CUT:
        return "frames cut before their network header"
    name = {OF_LINK: "link type {}", OF_LLC: "802.2 LLC 0x{:02x}", OF_PPP: "PPP protocol 0x{:04x}"}[kind & ~0xFFFF]
    return name.format(kind & 0xFFFF)


def _counted(values: Ints) -> list[tuple[int, int]]:
    found, counts = np.unique(values, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))


def _add(into: dict[str, int], label: str, count: int) -> None:
    into[label] = into.get(label, 0) + count
