"""What tells that somebody has moved: announcements, and frames from another place."""

import ipaddress
from dataclasses import dataclass

import numpy as np

from migrascope.store.pcap.frames import Ints, column, pieces
from migrascope.store.pcap.layers import ICMP6, Headers
from migrascope.store.pcap.links import ARP, RARP

MOST = 1000
MOST_PLACES = 8
"""Who comes from another place more often has several places, and does not move."""
_ADVERTISEMENT = 136


@dataclass(frozen=True, slots=True)
class Moment:
    """At time_ns (since 1970) an address told, or showed, where it is. kind: RARP, GARP, neighbour advertisement, or
    first frame from another place; place: its hardware address, and the tunnel's end that it came through."""

    time_ns: int
    kind: str
    address: str
    place: str


class Moments:
    """The moments of a capture."""

    def __init__(self) -> None:
        self._announced: list[Moment] = []
        self._moved: dict[int, list[Moment]] = {}
        self._place: dict[int, int] = {}

    def announcements(self, headers: Headers) -> None:
        """RARP, gratuitous ARP (RFC 5227), and unsolicited neighbour advertisements (RFC 4861)."""
        kinds = headers.kind
        rows = np.flatnonzero((kinds == ARP) | (kinds == RARP))
        advertised = np.flatnonzero((headers.said == ICMP6) & (headers.version == 6))
        data, time = headers.frames.data, headers.frames.time_ns
        for row in rows.tolist():
            at = int(headers.network[row])
            body = bytes(data[at : at + 28])
            if len(self._announced) >= MOST or body[4:6] != b"\6\4":
                continue
            address = str(ipaddress.ip_address(body[14:18]))
            if kinds[row] == RARP:
                self._announced.append(Moment(int(time[row]), "RARP", address, _mac(body[8:14])))
            elif body[14:18] == body[24:28]:
                self._announced.append(Moment(int(time[row]), "GARP", address, _mac(body[8:14])))
        for row in advertised.tolist():
            at = int(headers.transport[row])
            target = int(headers.network[row]) + 24
            if len(self._announced) < MOST and data[at] == _ADVERTISEMENT and data[target] == 0xFF:
                address = str(ipaddress.ip_address(bytes(data[at + 8 : at + 24])))
                place = _mac(bytes(data[int(headers.sender[row]) :][:6])) if headers.sender[row] >= 0 else ""
                self._announced.append(Moment(int(time[row]), "neighbour advertisement", address, place))

    def senders(self, headers: Headers, rows: Ints, who: Ints, names: list[str]) -> None:
        """Rows of a batch by sender, those of each in the order of the file. names: of the senders."""
        known = headers.sender[rows] >= 0
        if not known.any():
            return
        rows, who = rows[known], who[known]
        data = headers.frames.data
        place = pieces(data, headers.sender[rows], 8).view(">u8")[:, 0].astype(np.uint64) >> np.uint64(16)
        tunnelled = np.flatnonzero(headers.outer[rows] != headers.network[rows])
        if len(tunnelled):
            outer = column(pieces(data, headers.outer[rows[tunnelled]] + 12, 4), 0, 4).astype(np.uint64)
            place[tunnelled] ^= outer << np.uint64(24)
        first = np.concatenate(([True], who[1:] != who[:-1]))
        changed = np.concatenate(([True], place[1:] != place[:-1])) | first
        for at in np.flatnonzero(changed).tolist():
            sender, now = int(who[at]), int(place[at])
            before = self._place.get(sender)
            self._place[sender] = now
            if before is not None and before != now:
                moved = self._moved.setdefault(sender, [])
                if len(moved) <= MOST_PLACES:
                    row = int(rows[at])
                    told = _mac(bytes(data[int(headers.sender[row]) :][:6]))
                    if headers.outer[row] != headers.network[row]:
                        begin = int(headers.outer[row]) + 12
                        told += f" through {ipaddress.ip_address(bytes(data[begin : begin + 4]))}"
                    time = int(headers.frames.time_ns[row])
                    moved.append(Moment(time, "first frame from another place", names[sender], told))

    def all(self) -> list[Moment]:
        """By time, without those who come from many places."""
        moved = [moment for each in self._moved.values() if len(each) <= MOST_PLACES for moment in each]
        return sorted(self._announced + moved, key=lambda moment: (moment.time_ns, moment.kind, moment.address))


def _mac(raw: bytes) -> str:
    return raw.hex(":")
