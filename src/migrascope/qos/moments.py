"""What tells that somebody has moved: announcements, and frames from another place or another port."""

import ipaddress
from dataclasses import dataclass

import numpy as np

from migrascope.qos.whereabouts import Sighting, Whereabouts
from migrascope.store.pcap.frames import OUTWARD, Ints, column, pieces
from migrascope.store.pcap.layers import ICMP6, Bools, Headers
from migrascope.store.pcap.links import ARP, RARP, Hashes, mixed

MOST = 1000
_ADVERTISEMENT = 136


@dataclass(frozen=True, slots=True)
class Moment:
    """At time_ns (since 1970) an address told, or showed, where it is. kind: RARP, GARP, neighbour advertisement, first
    frame from another place, or from another port; address: of a port that of the hardware; place: its hardware
    address, and the tunnel's end or the interface that it came through; hardware: that address as a number."""

    time_ns: int
    kind: str
    address: str
    place: str
    hardware: int | None


class Moments:
    """The moments of a capture. Who is seen at one port at least twice in a row is there: a bridge also sends single
    frames to all of its ports."""

    def __init__(self) -> None:
        self._announced: list[Moment] = []
        self._places, self._ports = Whereabouts(1), Whereabouts(2)
        self._names: list[str] = []
        self._port_names: list[str] = []

    def announcements(self, headers: Headers) -> None:
        """RARP, gratuitous ARP (RFC 5227), and unsolicited neighbour advertisements (RFC 4861)."""
        kinds = headers.kind
        rows = np.flatnonzero((kinds == ARP) | (kinds == RARP))
        advertised = np.flatnonzero((headers.said == ICMP6) & (headers.version == 6))
        data, time = headers.frames.data, headers.frames.time_ns
        for row in rows.tolist():
            at = int(headers.network[row])
            body = bytes(data[at : at + 28])
            if body[4:6] != b"\6\4":
                continue
            address = str(ipaddress.ip_address(body[14:18]))
            if kinds[row] == RARP:
                self._announce(int(time[row]), "RARP", address, body[8:14])
            elif body[14:18] == body[24:28]:
                self._announce(int(time[row]), "GARP", address, body[8:14])
        for row in advertised.tolist():
            at = int(headers.transport[row])
            target = int(headers.network[row]) + 24
            if data[at] == _ADVERTISEMENT and data[target] == 0xFF:
                address = str(ipaddress.ip_address(bytes(data[at + 8 : at + 24])))
                sender = int(headers.sender[row])
                self._announce(int(time[row]), "neighbour advertisement", address, bytes(data[sender:][:6]))

    def _announce(self, time_ns: int, kind: str, address: str, hardware: bytes) -> None:
        if len(self._announced) < MOST:
            number = int.from_bytes(hardware, "big")
            self._announced.append(Moment(time_ns, kind, address, _mac(number), number))

    def senders(self, headers: Headers, rows: Ints, who: Ints, names: list[str], others: Bools) -> None:
        """Rows of a batch by sender, those of each in the order of the file. names: of the senders; others: which rows
        belong to no flow."""
        self._names, self._port_names = names, headers.frames.port_names
        known = headers.sender[rows] >= 0
        placed, placed_who = (rows, who) if known.all() else (rows[known], who[known])
        # in the order of the file memory is read fastest
        place = _hardware(headers, np.arange(len(headers)))[placed]
        if headers.tunnels:
            inner = headers.outer[placed] != headers.network[placed]
            place[inner] ^= _tunnels(headers, placed[inner])
        self._places.add(placed_who, place, lambda at: _sighting(headers, int(placed[at])))
        first = np.append(True, placed_who[1:] != placed_who[:-1])[: len(placed)]
        self._at_ports(headers, placed[first] if headers.frames.port is None else placed, others)
        bare = np.flatnonzero(~known)
        bare = bare[headers.outer[rows[bare]] == headers.network[rows[bare]]]
        if len(bare):
            ports = _ports(headers)[rows[bare]]
            self._ports.add(-1 - who[bare], ports, lambda at: _sighting(headers, int(rows[bare[at]])))

    def _at_ports(self, headers: Headers, placed: Ints, others: Bools) -> None:
        """By hardware address, of flows and of all else. What leaves through a port does not come from there."""
        frames = headers.frames
        rows = np.concatenate((placed, np.flatnonzero(others)))
        sender = headers.sender[rows]
        whole = (sender >= 0) & (sender + 6 <= frames.at[rows] + frames.captured[rows])
        rows = rows[whole & (headers.outer[rows] == headers.network[rows]) & (frames.direction[rows] != OUTWARD)]
        hardware = _hardware(headers, rows).astype(np.int64)
        rows, hardware = rows[hardware > 0], hardware[hardware > 0]
        order = np.lexsort((rows, hardware))
        rows = rows[order]
        self._ports.add(hardware[order], _ports(headers)[rows], lambda at: _sighting(headers, int(rows[at])))

    def all(self) -> list[Moment]:
        """By time, without those who come from many places."""
        found = list(self._announced)
        for sender, sightings in self._places.moves().items():
            for seen in sightings:
                place = _mac(seen.hardware or 0) + (f" through {seen.tunnel}" if seen.tunnel else "")
                kind = "first frame from another place"
                found.append(Moment(seen.time_ns, kind, self._names[sender], place, seen.hardware))
        for sender, sightings in self._ports.moves().items():
            for seen in sightings:
                address = _mac(sender) if sender >= 0 else self._names[-1 - sender]
                kind, place = "first frame from another port", self._port_names[seen.port]
                found.append(Moment(seen.time_ns, kind, address, place, seen.hardware))
        return sorted(found, key=lambda moment: (moment.time_ns, moment.kind, moment.address))

    def of(self, sender: int, moments: list[Moment]) -> list[Moment]:
        """Those that are of one sender: of its address, or of its hardware."""
        hardware = self._places.hardware(sender) - {0}
        return [each for each in moments if each.address == self._names[sender] or each.hardware in hardware]


def _ports(headers: Headers) -> Ints:
    port = headers.frames.port
    return np.zeros(len(headers), dtype=np.int64) if port is None else port


def _hardware(headers: Headers, rows: Ints) -> Hashes:
    """The senders' hardware addresses as numbers."""
    found = pieces(headers.frames.data, headers.sender[rows], 8).view(">u8")[:, 0]
    return np.asarray(found.astype(np.uint64) >> np.uint64(16), dtype=np.uint64)


def _tunnels(headers: Headers, rows: Ints) -> Hashes:
    """A hash of the sending end of each one's outermost tunnel."""
    head = pieces(headers.frames.data, headers.outer[rows], 24)
    four = column(head, 12, 4).astype(np.uint64)
    halves = np.ascontiguousarray(head[:, 8:24]).view(">u8").astype(np.uint64)
    return np.where(head[:, 0] >> 4 == 6, mixed(halves[:, 0]) ^ halves[:, 1], mixed(four))


def _sighting(headers: Headers, row: int) -> Sighting:
    frames, outer, sender = headers.frames, int(headers.outer[row]), int(headers.sender[row])
    tunnel = None
    if outer != headers.network[row]:
        begin, size = (8, 16) if frames.data[outer] >> 4 == 6 else (12, 4)
        tunnel = str(ipaddress.ip_address(bytes(frames.data[outer + begin : outer + begin + size])))
    hardware = int.from_bytes(bytes(frames.data[sender : sender + 6]), "big") if sender >= 0 else None
    return Sighting(int(frames.time_ns[row]), hardware, tunnel, 0 if frames.port is None else int(frames.port[row]))


def _mac(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")
