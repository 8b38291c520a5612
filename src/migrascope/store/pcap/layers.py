"""Frames taken apart: link, network and transport headers as columns (RFC 791, 8200, 793, 7323, 768, 792, 4443)."""

import ipaddress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from migrascope.store.pcap.frames import Bytes, Frames, Ints, column, pieces, words

Bools = NDArray[np.bool_]
Hashes = NDArray[np.uint64]
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FIN, SYN, RST, ACK = 1, 2, 4, 16
ETHERNET, RAW, LINUX_SLL, LINUX_SLL2, NULL, LOOP, IPV4, IPV6 = 1, 101, 113, 276, 0, 108, 228, 229
_TAGS = (0x8100, 0x88A8, 0x9100)
_EXTENSIONS = (0, 43, 44, 60)
_MOST_TAGS, _MOST_EXTENSIONS, _MOST_OPTIONS = 3, 6, 40
_TYPE_AT = {ETHERNET: 12, LINUX_SLL: 14, LINUX_SLL2: 0}
_NETWORK_AT = {ETHERNET: 14, LINUX_SLL: 16, LINUX_SLL2: 20, RAW: 0, 12: 0, 14: 0, IPV4: 0, IPV6: 0, NULL: 4, LOOP: 4}
_M1, _M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class Headers:
    """Columns of n frames. version: 4, 6, or 0 for what is no IP. network: where its header begins in frames.data.
    protocol: 0 where the transport header is not there (a later fragment, cut, no IP). source, target: a hash of each
    end's address and port; ports are the identifier of an ICMP echo. payload: bytes that the transport carries.
    transport: where its header begins in frames.data; block: that header's first 20 bytes, (n, 20); there: how many of
    its first 64 bytes are the file's."""

    frames: Frames
    version: Bytes
    network: Ints
    protocol: Bytes
    source: Hashes
    target: Hashes
    source_port: Ints
    target_port: Ints
    payload: Ints
    transport: Ints
    block: Bytes
    there: Ints

    def __len__(self) -> int:
        return len(self.version)

    def transport_headers(self, rows: Ints, width: int) -> Bytes:
        """The first bytes of these rows' transport headers, (n, width); behind the frame's end they mean nothing."""
        return pieces(self.frames.data, self.transport[rows], width)


def headers(frames: Frames) -> Headers:
    """The columns of a batch. Frames of a link type that is not known are no IP."""
    data, captured = frames.data, frames.captured
    network = frames.at + _network_at(frames)
    end = frames.at + captured
    first = pieces(data, network, 40)
    version = first[:, 0] >> 4
    header = (first[:, 0] & 15).astype(np.int64) * 4
    length, protocol = column(first, 2, 2), first[:, 9].copy()
    good = (version == 4) & (header >= 20) & (column(first, 6, 2) & 0x1FFF == 0)
    ip = (version == 4) & (network + 20 <= end)
    six = np.flatnonzero(version == 6)
    if len(six):
        header[six], protocol[six] = 40, first[six, 6]
        length[six] = column(first[six], 4, 2) + 40
        ip[six] = good[six] = network[six] + 40 <= end[six]
    # segments that nobody has cut up yet may have no length of their own
    unsaid = np.flatnonzero((length == 0) | (version == 6) & (length == 40))
    length[unsaid] = frames.wire[unsaid] - network[unsaid] + frames.at[unsaid]
    good &= network + header <= end
    if len(six):
        protocol, header, good = _extensions(data, network, end, protocol, header, good)
    transport = network + header
    block = pieces(data, transport, 20)
    least = _LEAST[protocol]
    good &= transport + least <= end
    protocol = (protocol * good).astype(np.uint8)
    version = (version * ip).astype(np.uint8)
    tcp = protocol == TCP
    size = np.where(tcp, (block[:, 12] >> 4).astype(np.int64) * 4, 8)
    payload = np.where(protocol > 0, np.maximum(0, length - header - size), 0)
    ports = words(block)[:, 0].astype(np.int64)
    has_ports = tcp | (protocol == UDP)
    echo = _is_echo(protocol, block)
    ident = np.where(echo, column(block, 4, 2), 0)
    source_port = np.where(has_ports, ports >> 16, ident)
    target_port = np.where(has_ports, ports & 0xFFFF, ident)
    source, target = _ends(first, version, protocol, source_port, target_port)
    there = np.clip(end - transport, 0, 64)
    return Headers(
        frames, version, network, protocol, source, target, source_port, target_port, payload, transport, block, there
    )  # fmt: skip


_LEAST = np.zeros(256, dtype=np.int64)
_LEAST[[TCP, UDP, ICMP, ICMP6]] = [20, 8, 8, 8]


def _network_at(frames: Frames) -> Ints | int:
    """How far behind its beginning each frame's network header begins; beyond its end where there is none."""
    links = np.unique(frames.link) if len(frames) and (frames.link != frames.link[0]).any() else frames.link[:1]
    if not len(links):
        return 0
    if len(links) == 1:
        return _of_link(frames, int(links[0]), slice(None))
    places = np.zeros(len(frames), dtype=np.int64)
    for link in links.tolist():
        chosen = np.flatnonzero(frames.link == link)
        places[chosen] = _of_link(frames, link, chosen)
    return places


def _of_link(frames: Frames, link: int, chosen: slice | Ints) -> Ints | int:
    if link not in _NETWORK_AT:
        return frames.captured[chosen]
    begins = _NETWORK_AT[link]
    if link not in _TYPE_AT:
        return begins
    at, captured = frames.at[chosen], frames.captured[chosen]
    kind = column(pieces(frames.data, at + _TYPE_AT[link], 2), 0, 2)
    places = np.full(len(at), begins, dtype=np.int64)
    for _ in range(_MOST_TAGS):
        tagged = np.flatnonzero(np.isin(kind, _TAGS)) if (kind != 0x0800).any() else kind[:0]
        if not len(tagged):
            break
        inner = pieces(frames.data, at[tagged] + places[tagged], 4)
        kind[tagged] = column(inner, 2, 2)
        places[tagged] += 4
    network = (kind == 0x0800) | (kind == 0x86DD)
    return np.where(network, places, captured)


def _extensions(
    data: Bytes, network: Ints, end: Ints, protocol: Bytes, header: Ints, good: Bools
) -> tuple[Bytes, Ints, Bools]:
    """(protocol, header length, whether the transport header is there) behind IPv6's extension headers."""
    six = np.zeros(len(network), dtype=np.bool_)
    six[:] = pieces(data, network, 1)[:, 0] >> 4 == 6
    for _ in range(_MOST_EXTENSIONS):
        more = np.flatnonzero(six & good & np.isin(protocol, _EXTENSIONS))
        if not len(more):
            break
        place = network[more] + header[more]
        block = pieces(data, place, 8)
        fragment = protocol[more] == 44
        good[more] &= (place + 8 <= end[more]) & ~(fragment & (column(block, 2, 2) & 0xFFF8 != 0))
        header[more] += np.where(fragment, 8, (block[:, 1].astype(np.int64) + 1) * 8)
        protocol[more] = block[:, 0]
    return protocol, header, good


def _is_echo(protocol: Bytes, block: Bytes) -> Bools:
    kind = block[:, 0]
    four = (protocol == ICMP) & ((kind == 0) | (kind == 8))
    return np.asarray(four | (protocol == ICMP6) & ((kind == 128) | (kind == 129)), dtype=np.bool_)


def _mixed(value: Hashes) -> Hashes:
    value = value * _M1
    value = (value ^ (value >> np.uint64(32))) * _M2
    return np.asarray(value ^ (value >> np.uint64(29)), dtype=np.uint64)


def _ends(first: Bytes, version: Bytes, protocol: Bytes, source_port: Ints, target_port: Ints) -> tuple[Hashes, Hashes]:
    """A hash of 64 bits of address, port and protocol for each end."""
    numbers = words(first)
    below = protocol.astype(np.uint64) << np.uint64(16)
    source = numbers[:, 3].astype(np.uint64) << np.uint64(32)
    target = numbers[:, 4].astype(np.uint64) << np.uint64(32)
    six = np.flatnonzero(version == 6)
    if len(six):
        halves = np.ascontiguousarray(first[six, 8:40]).view(">u8").astype(np.uint64)
        source[six] = _mixed(_mixed(halves[:, 0]) ^ halves[:, 1])
        target[six] = _mixed(_mixed(halves[:, 2]) ^ halves[:, 3])
    source ^= below ^ source_port.astype(np.uint64)
    target ^= below ^ target_port.astype(np.uint64)
    return _mixed(source), _mixed(target)


@dataclass(frozen=True, slots=True)
class Stamps:
    """RFC 7323's time stamps of TCP segments: there says which carry them."""

    there: Bools
    value: Ints
    echoed: Ints


def time_stamps(headers: Headers, chosen: Ints, block: Bytes) -> Stamps:
    """The time stamps option of some rows' TCP headers, wherever it stands. block: their first 32 bytes, (n, 32)."""
    numbers = words(block)
    length = np.minimum((block[:, 12] >> 4).astype(np.int64) * 4, headers.there[chosen])
    there = (numbers[:, 5] == 0x0101080A) & (length >= 32)
    value, echoed = numbers[:, 6].astype(np.int64), numbers[:, 7].astype(np.int64)
    left = np.flatnonzero(~there & (length > 20))
    if len(left):
        whole = headers.transport_headers(chosen[left], 64)
        at, found = _find_option(whole, length[left])
        rows = left[found]
        there[rows] = True
        place = at[found][:, None] + np.arange(2, 10)
        both = np.ascontiguousarray(whole[np.flatnonzero(found)[:, None], place]).view(">u4").astype(np.int64)
        value[rows], echoed[rows] = both[:, 0], both[:, 1]
    return Stamps(there, value, echoed)


def _find_option(block: Bytes, length: Ints) -> tuple[Ints, Bools]:
    """(where option 8 begins, whether it is there whole) in each header."""
    rows = np.arange(len(block))
    at = np.full(len(block), 20, dtype=np.int64)
    found = np.zeros(len(block), dtype=np.bool_)
    going = np.ones(len(block), dtype=np.bool_)
    for _ in range(_MOST_OPTIONS):
        going &= at < length
        if not going.any():
            break
        kind = block[rows, np.minimum(at, 63)]
        size = block[rows, np.minimum(at + 1, 63)].astype(np.int64)
        hit = going & (kind == 8) & (size == 10) & (at + 10 <= length)
        found |= hit
        going &= ~hit & (kind != 0) & ((kind == 1) | (size >= 2))
        at = np.where(going, at + np.where(kind == 1, 1, size), at)
    return at, found


def address(headers: Headers, row: int) -> tuple[str, str]:
    """(source, target) address of one frame as text."""
    at, data = int(headers.network[row]), headers.frames.data
    if headers.version[row] == 4:
        source, target = bytes(data[at + 12 : at + 16]), bytes(data[at + 16 : at + 20])
    else:
        source, target = bytes(data[at + 8 : at + 24]), bytes(data[at + 24 : at + 40])
    return str(ipaddress.ip_address(source)), str(ipaddress.ip_address(target))
