"""Where the network takes an instance's frames: table announce.

Config: mac (of the instance), addresses (its visitors'), ports ({interface: [node, place]}; place: tap, tenant, router,
port). Runs in the namespace of these interfaces. At a tap and on the tenants' network all that is from or to the MAC is
followed, in VXLAN and Geneve too, and what routers advertise there; at a port of the external network (router) what is
from or to the addresses, and ARP about them; at a node's port at the switch (port) only that by which the link keeps
itself: ARP, RARP and neighbour discovery, whoever sent it. Frames of one kind without a silence make one row, so that
its ends say when the network began and ceased to bring them there. Stamps are the kernel's. An interface that is not
there yet is waited for.
"""

import errno
import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import Any

from migrascope.node.program import Program
from migrascope.probe.bpf import AT_LEAST, EQUAL, LOAD_BYTE, LOAD_HALF, LOAD_WORD, RETURN, assembled, icmp6
from migrascope.probe.ring import RETIRE_MS, Ring, filter_program
from migrascope.store.spool import Spool

SILENCE_NS = 20_000_000
_WAIT_S = 0.05
_OVER_NS = 1_000_000_000
_VLAN, _ARP, _RARP, _IPV4, _IPV6, _UDP = 0x8100, 0x0806, 0x8035, 0x0800, 0x86DD, b"\x11"
_VXLAN_PORT, _GENEVE_PORT = 4789, 6081
_TUNNEL = 50
"""The bytes before the frame in VXLAN, or in Geneve without options: Ethernet, IPv4, UDP, and 8 of its own."""
_TUNNELLED = (_TUNNEL, _TUNNEL + 8)
"""Where the frame in a tunnel begins: OVN's Geneve has one option of 8 bytes."""
_INNERMOST = 96
_SNAPLEN = _TUNNELLED[-1] + _INNERMOST
_ABOUT = (28, 38)
"""Where ARP over Ethernet has the addresses of sender and target."""
_HEADER, _HEADER_6, _HOP_BY_HOP, _ICMP6 = 14, 40, 0, 58
_NOT_ECHO, _ROUTER, _SOLICITATION, _ADVERTISEMENT, _SOLICITED = 130, 134, 135, 136, 0x40
_OF_ICMP6 = {
    **dict.fromkeys((130, 131, 132, 143), "mld"),
    133: "rs",
    _ROUTER: "ra",
    _SOLICITATION: "nd",
    _ADVERTISEMENT: "nd",
}
"""By type (RFC 4861; RFC 2710, RFC 3810)."""
Key = tuple[str, str, str]
"""(interface, way, kind)"""


def mac_filter(mac: str) -> bytes:
    """Classic BPF: the first bytes of each frame from or to this MAC, also where the frame is in a tunnel, and of
    router advertisements, which go to a group; of others none."""
    address = bytes.fromhex(mac.replace(":", ""))
    first, last = int.from_bytes(address[:4], "big"), int.from_bytes(address[4:], "big")
    places = [start + side for start in (0, *_TUNNELLED) for side in (0, 6)]
    program: list[tuple[int, int, int, int]] = []
    for at in places:
        taken = 4 * len(places) - len(program) + 2
        program += [(LOAD_WORD, 0, 0, at), (EQUAL, 0, 2, first), (LOAD_HALF, 0, 0, at + 4), (EQUAL, taken, 0, last)]
    program += [(LOAD_HALF, 0, 0, 12), (EQUAL, 0, 5, _IPV6), *icmp6(_ROUTER, _SNAPLEN)]
    return assembled(program)


def innermost(frame: bytes) -> bytes:
    """What a frame in VXLAN or Geneve holds; a frame in neither by itself."""
    if int.from_bytes(frame[12:14], "big") != _IPV4 or frame[23:24] != _UDP:
        return frame
    port = int.from_bytes(frame[36:38], "big")
    if port == _VXLAN_PORT:
        return frame[_TUNNEL:]
    return frame[_TUNNEL + 4 * (frame[42] & 0x3F) :] if port == _GENEVE_PORT else frame


def link_filter() -> bytes:
    """Classic BPF: the first bytes of ARP, RARP and of the messages of ICMPv6 by which a link keeps itself, also behind
    a hop-by-hop header, as MLD's are; of echo and all else nothing."""
    program = (
        (LOAD_HALF, 0, 0, 12),
        (EQUAL, 7, 0, _ARP),
        (EQUAL, 6, 0, _RARP),
        (EQUAL, 0, 6, _IPV6),
        (LOAD_BYTE, 0, 0, _HEADER + 6),
        (EQUAL, 3, 0, _HOP_BY_HOP),
        (EQUAL, 0, 3, _ICMP6),
        (LOAD_BYTE, 0, 0, _HEADER + _HEADER_6),
        (AT_LEAST, 0, 1, _NOT_ECHO),
        (RETURN, 0, 0, _SNAPLEN),
        (RETURN, 0, 0, 0),
    )
    return assembled(program)


def router_filter(addresses: list[str]) -> bytes:
    """Classic BPF: the first bytes of each packet from or to one of these addresses, and of ARP about one of IPv4; of
    others none."""
    four = [int(each) for each in map(ipaddress.ip_address, addresses) if each.version == 4]
    tests = [(at, address) for at in _ABOUT for address in four]
    program = [(LOAD_HALF, 0, 0, 12), (EQUAL, 0, 2 * len(tests) + 2, _ARP)]
    for left, (at, address) in zip(reversed(range(len(tests))), tests, strict=True):
        program += [(LOAD_WORD, 0, 0, at), (EQUAL, 2 * left + 1, 0, address)]
    program += [(RETURN, 0, 0, 0), (RETURN, 0, 0, _SNAPLEN)]
    return assembled(program) + filter_program(addresses, _SNAPLEN)


def kind_of(frame: bytes) -> str:
    """rarp, garp (an ARP in which sender and target have one address), arp, or frame; a VLAN's tag may be inside. Of
    IPv6: na (a neighbour advertisement that nobody solicited), dad (a solicitation from no address: is mine free?), nd
    (other solicitations, and their answers), rs and ra (of routers), mld (of groups), or frame6."""
    at = 16 if int.from_bytes(frame[12:14], "big") == _VLAN else 12
    kind = int.from_bytes(frame[at : at + 2], "big")
    if kind == _RARP:
        return "rarp"
    if kind == _ARP:
        body = frame[at + 2 :]
        return "garp" if len(body) >= 28 and body[14:18] == body[24:28] else "arp"
    return _of_ipv6(frame[at + 2 :]) if kind == _IPV6 else "frame"


def _of_ipv6(packet: bytes) -> str:
    following, message = packet[6:7], packet[_HEADER_6:]
    if following == bytes([_HOP_BY_HOP]) and len(message) > 1:
        following, message = message[:1], message[8 * (message[1] + 1) :]
    if following != bytes([_ICMP6]) or len(message) < 5:
        return "frame6"
    if message[0] == _ADVERTISEMENT and not message[4] & _SOLICITED:
        return "na"
    kind = _OF_ICMP6.get(message[0], "frame6")
    return "dad" if message[0] == _SOLICITATION and not any(packet[8:24]) else kind


@dataclass
class _Run:
    """Frames of one kind without a silence: stamps of the first and the last (wall ns), and how many."""

    first_ns: int
    last_ns: int
    frames: int = 1


class Watch:
    """The runs of frames at the ports, and the spool to which those that have ended go."""

    def __init__(self, mac: str, places: dict[str, tuple[str, str]], spool: Spool) -> None:
        self._mac, self._places, self._spool = bytes.fromhex(mac.replace(":", "")), places, spool
        self._runs: dict[Key, _Run] = {}

    def take(self, interface: str, time_ns: int, frame: bytes, *, sent: bool) -> None:
        """One frame: its first bytes, and whether it left this machine through the interface."""
        frame = innermost(frame)
        at_port = self._places[interface][1] in ("router", "port")
        to = sent if at_port else frame[6:12] != self._mac
        key = (interface, "to" if to else "from", kind_of(frame))
        run = self._runs.get(key)
        if run is not None and time_ns - run.last_ns < SILENCE_NS:
            run.last_ns, run.frames = max(run.last_ns, time_ns), run.frames + 1
            return
        if run is not None:
            self._write(key, run)
        self._runs[key] = _Run(time_ns, time_ns)

    def write(self, until_ns: int) -> None:
        """Writes the runs whose last frame came before that stamp."""
        for key, run in [(key, run) for key, run in self._runs.items() if run.last_ns < until_ns]:
            self._write(key, run)
            del self._runs[key]

    def _write(self, key: Key, run: _Run) -> None:
        interface, way, kind = key
        self._spool.add(run.first_ns, run.last_ns, *self._places[interface], way, kind, run.frames)


def main(program: Program) -> None:
    """Watches until the program ends."""
    config = program.config
    places: dict[str, tuple[str, str]] = {port: (node, place) for port, (node, place) in config["ports"].items()}
    filters = {port: _filter(place, config) for port, (_, place) in places.items()}
    rings: dict[str, Ring] = {}
    _open(rings, filters)
    with program.spool("announce") as spool:
        watch = Watch(config["mac"], places, spool)
        program.ready()
        while not program.ending:
            _open(rings, filters)
            until = time.monotonic() + _WAIT_S
            for port, ring in list(rings.items()):
                try:
                    ring.wait(max(0.0, until - time.monotonic()) / len(rings))
                except OSError:  # its interface went: the kernel still hands over what came before
                    time.sleep(2 * RETIRE_MS / 1000)
                    _read(watch, port, ring)
                    ring.close()
                    del rings[port]
                    continue
                _read(watch, port, ring)
            if not rings:
                time.sleep(_WAIT_S)
            watch.write(time.time_ns() - _OVER_NS)
            program.tick()
        watch.write(time.time_ns() + _OVER_NS)
    for ring in rings.values():
        ring.close()


def _filter(place: str, config: dict[str, Any]) -> bytes:
    if place == "router":
        return router_filter(config["addresses"])
    return link_filter() if place == "port" else mac_filter(config["mac"])


def _open(rings: dict[str, Ring], filters: dict[str, bytes]) -> None:
    """Begins with the interfaces that have come. OSError where the kernel refuses."""
    missing = filters.keys() - rings.keys()
    for port in missing & {name for _, name in socket.if_nameindex()} if missing else ():
        try:
            rings[port] = Ring(port, filters[port])
        except OSError as error:
            if error.errno != errno.ENODEV:  # it has gone again
                raise


def _read(watch: Watch, port: str, ring: Ring) -> None:
    seen = True
    while seen:
        seen = False
        for frame in ring.block():
            seen = True
            watch.take(port, frame.time_ns, bytes(frame.data), sent=frame.sent)


if __name__ == "__main__":
    main(Program.from_argv())
