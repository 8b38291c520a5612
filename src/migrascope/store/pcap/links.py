"""Link layers: where the network header of each frame begins, what it is, and what the frame came through.

Ethernet (802.3 with LLC and SNAP too), VLAN tags (802.1Q, 802.1ad), MPLS (RFC 3032, RFC 4385), PPPoE
(RFC 2516), PPP (RFC 1661), Linux cooked captures, NFLOG, Cisco HDLC, BSD loopback and raw IP.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from migrascope.store.pcap.frames import Frames, Ints, column, pieces

Hashes = NDArray[np.uint64]
ETHERNET, PPP, PPP_HDLC, PPP_ETHER, RAW, C_HDLC, LOOP, LINUX_SLL = 1, 9, 50, 51, 101, 104, 108, 113
IPV4, IPV6, NFLOG, LINUX_SLL2, NULL = 228, 229, 239, 276, 0
IP4, IP6, ARP, RARP, TEB = 0x0800, 0x86DD, 0x0806, 0x8035, 0x6558
_TAGS, _MPLS, _PPPOE = (0x8100, 0x88A8, 0x9100), (0x8847, 0x8848), 0x8864
_PPP_TYPES = {0x21: IP4, 0x57: IP6, 0x281: _MPLS[0], 0x283: _MPLS[1]}
OF_LINK, OF_LLC, OF_PPP, CUT = 1 << 16, 2 << 16, 3 << 16, 4 << 16
_BARE = (RAW, 12, 14, IPV4, IPV6, NULL, LOOP)
_SENDER_AT = {ETHERNET: 6, LINUX_SLL: 6, LINUX_SLL2: 12}
_LEAST_TYPE = 1536
_MOST_STEPS, _MOST_ATTRIBUTES = 12, 32
_PAYLOAD = 9
_M1, _M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


def mixed(value: Hashes) -> Hashes:
    """A hash of numbers of 64 bits."""
    value = value * _M1
    value = (value ^ (value >> np.uint64(32))) * _M2
    return np.asarray(value ^ (value >> np.uint64(29)), dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Links:
    """Of n frames: network: where the header behind the link layer begins in the data; kind: what it is: an EtherType,
    or OF_LINK + link type, OF_LLC + service access point, OF_PPP + protocol where that is known alone, CUT where the
    frame ends before. sender: where the sender's hardware address is, -1 where there is none."""

    network: Ints
    kind: Ints
    sender: Ints


class Inside:
    """What frames came through (VLANs, tunnels): for each a number, 0 for nothing, and by it the names, outermost
    first."""

    def __init__(self, count: int) -> None:
        self.of: Hashes = np.zeros(count, dtype=np.uint64)
        self.names: dict[int, tuple[str, ...]] = {}

    def enter(self, rows: Ints, name: str, number: Ints | None = None) -> None:
        """These frames came through one more. number: which of that kind, where two of them tell two flows apart."""
        if not len(rows):
            return
        numbers = np.zeros(len(rows), dtype=np.int64) if number is None else number
        kind = np.uint64(sum(byte << 8 * at for at, byte in enumerate(name.encode()[:7])))
        before = self.of[rows]
        now = mixed(mixed(before ^ kind) ^ numbers.astype(np.uint64))
        self.of[rows] = now
        firsts = [0] if (now == now[0]).all() else np.unique(now, return_index=True)[1].tolist()
        for first in firsts:
            label = name if number is None else f"{name} {int(numbers[first])}"
            self.names[int(now[first])] = (*self.names.get(int(before[first]), ()), label)


def links(frames: Frames, inside: Inside, numbers: Ints | None = None) -> Links:
    """numbers: the rows of the frames in `inside`; None where they are the same."""
    found = Links(frames.at.copy(), np.zeros(len(frames), dtype=np.int64), np.full(len(frames), -1, dtype=np.int64))
    which = np.unique(frames.link) if len(frames) and (frames.link != frames.link[0]).any() else frames.link[:1]
    rows: Ints | slice
    for link in which.tolist():
        rows = np.flatnonzero(frames.link == link) if len(which) > 1 else slice(None)
        _place(frames, found, rows, link)
        if link in _SENDER_AT:
            found.sender[rows] = frames.at[rows] + _SENDER_AT[link]
    special = np.flatnonzero((found.kind != IP4) & (found.kind != IP6) & (found.kind < OF_LINK))
    for _ in range(_MOST_STEPS):
        if not len(special):
            break
        special = _step(frames, found, special, inside, numbers)
    beyond = found.network > frames.at + frames.captured
    if beyond.any():
        found.kind[beyond] = CUT
    return found


def _number(frames: Frames, at: Ints, width: int = 2) -> Ints:
    return np.asarray(column(pieces(frames.data, at, width), 0, width), dtype=np.int64)


def _place(frames: Frames, found: Links, rows: Ints | slice, link: int) -> None:
    """Sets network and kind as the link type has them."""
    at = found.network[rows]
    if link < 0:  # what begins behind an EtherType
        found.kind[rows] = -link
        return
    if link in (ETHERNET, LINUX_SLL, LINUX_SLL2, C_HDLC):
        type_at, begins = {ETHERNET: (12, 14), LINUX_SLL: (14, 16), LINUX_SLL2: (0, 20), C_HDLC: (2, 4)}[link]
        found.kind[rows] = _number(frames, at + type_at)
        found.network[rows] = at + begins
    elif link in _BARE:
        at = at + (4 if link in (NULL, LOOP) else 0)
        version = pieces(frames.data, at, 1)[:, 0] >> 4
        found.network[rows] = at
        found.kind[rows] = np.where(version == 4, IP4, np.where(version == 6, IP6, OF_LINK + link))
    elif link in (PPP, PPP_HDLC):
        at = at + 2 * (_number(frames, at) == 0xFF03)
        _ppp(frames, found, rows, at)
    elif link == PPP_ETHER:
        found.kind[rows] = _PPPOE
    elif link == NFLOG:
        place, there = _nflog(frames, at, at + frames.captured[rows])
        found.network[rows] = np.where(there, place, at)
        version = pieces(frames.data, found.network[rows], 1)[:, 0] >> 4
        kind = np.where(version == 4, IP4, np.where(version == 6, IP6, OF_LINK + link))
        found.kind[rows] = np.where(there, kind, OF_LINK + link)
    else:
        found.kind[rows] = OF_LINK + link


def _ppp(frames: Frames, found: Links, rows: Ints | slice, at: Ints) -> None:
    """From PPP's protocol on, of one or two bytes."""
    said = _number(frames, at)
    short = (said >> 8) & 1 == 1
    said = np.where(short, said >> 8, said)
    kind = OF_PPP + said
    for protocol, known in _PPP_TYPES.items():
        kind = np.where(said == protocol, known, kind)
    found.kind[rows], found.network[rows] = kind, at + np.where(short, 1, 2)


def _nflog(frames: Frames, at: Ints, end: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """(where the packet begins, whether it is there): the attribute of type 9. Their numbers are in the order of the
    machine that captured, nearly always the lower byte first."""
    at, found = at + 4, np.zeros(len(at), dtype=np.bool_)
    going = np.ones(len(at), dtype=np.bool_)
    for _ in range(_MOST_ATTRIBUTES):
        head = pieces(frames.data, at, 4)
        length, kind = column(head, 0, 2, "<"), column(head, 2, 2, "<") & 0x7FFF
        going &= (at + 4 <= end) & (length >= 4)
        found |= going & (kind == _PAYLOAD)
        going &= ~found
        if not going.any():
            break
        at = np.where(going, at + (length + 3) // 4 * 4, at)
    return at + 4, found


def _step(frames: Frames, found: Links, rows: Ints, inside: Inside, numbers: Ints | None) -> Ints:
    """Takes one layer off these frames; gives those of which another may have to be."""
    rows = rows[found.network[rows] < frames.at[rows] + frames.captured[rows]]
    kind, at = found.kind[rows], found.network[rows]

    def enter(chosen: NDArray[np.bool_], name: str, number: Ints | None = None) -> None:
        some = rows[chosen]
        inside.enter(some if numbers is None else numbers[some], name, number)

    tagged = np.isin(kind, _TAGS)
    if tagged.any():
        head = pieces(frames.data, at[tagged], 4)
        tag = column(head, 0, 2) & 0xFFF
        found.kind[rows[tagged]] = column(head, 2, 2)
        found.network[rows[tagged]] += 4
        real = tagged.copy()
        real[tagged] = tag > 0  # 0 is a priority alone
        enter(real, "VLAN", tag[tag > 0])
    session = kind == _PPPOE
    if session.any():
        head = pieces(frames.data, at[session], 6)
        enter(session, "PPPoE", column(head, 2, 2))
        _ppp(frames, found, rows[session], at[session] + 6)
    label = np.isin(kind, _MPLS)
    if label.any():
        bottom = label.copy()
        bottom[label] = pieces(frames.data, at[label], 4)[:, 2] & 1 == 1
        found.network[rows[label]] += 4
        enter(bottom, "MPLS")
        _below_mpls(frames, found, rows[bottom])
    length = (kind < _LEAST_TYPE) & ~label & ~tagged
    if length.any():
        head = pieces(frames.data, at[length], 8)
        snap = (column(head, 0, 4) & 0xFFFFFF00 == 0xAAAA0300) & (head[:, 3:6] == 0).all(axis=1)
        found.kind[rows[length]] = np.where(snap, column(head, 6, 2), OF_LLC + head[:, 0].astype(np.int64))
        found.network[rows[length]] += np.where(snap, 8, 3)
    changed = (found.kind[rows] != kind) | label | tagged
    kind = found.kind[rows]
    return np.asarray(rows[changed & (kind != IP4) & (kind != IP6) & (kind < OF_LINK)], dtype=np.int64)


def _below_mpls(frames: Frames, found: Links, rows: Ints) -> None:
    """Below the last label IP by its version, or an Ethernet frame, with a control word (RFC 4448) or without one."""
    at = found.network[rows]
    nibble = pieces(frames.data, at, 1)[:, 0] >> 4
    wire = (nibble != 4) & (nibble != 6)
    at = np.where(wire, at + np.where(nibble == 0, 4, 0), at)
    found.kind[rows] = np.where(nibble == 4, IP4, np.where(nibble == 6, IP6, _number(frames, at + 12)))
    found.network[rows] = np.where(wire, at + 14, at)
    found.sender[rows] = np.where(wire, at + 6, found.sender[rows])
