"""Frames taken apart: link, network and transport headers as columns (RFC 791, 8200, 793, 7323, 768, 792, 4443)."""

import ipaddress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from migrascope.store.pcap.frames import Bytes, Frames, Ints, column, pieces, words
from migrascope.store.pcap.links import ETHERNET, IP4, IP6, TEB, Hashes, Inside, links, mixed

Bools = NDArray[np.bool_]
ICMP, IPIP, TCP, UDP, SIX, GRE, ICMP6 = 1, 4, 6, 17, 41, 47, 58
FIN, SYN, RST, ACK = 1, 2, 4, 16
_EXTENSIONS = (0, 43, 44, 60)
_MOST_EXTENSIONS, _MOST_OPTIONS = 6, 40
_GPE = np.array([0, IP4, IP6, TEB, 0])
"""What VXLAN-GPE carries, by the number of its protocol."""
MOST_TUNNELS = 4
BLOCK = 32
"""Of a transport header so many bytes are taken out at once: TCP's with its time stamps."""


@dataclass(frozen=True, slots=True)
class Fragments:
    """Those of n packets that are fragments: their rows, what their packet is called (RFC 791's identification),
    whether each is its first one, and bytes of its packet in it."""

    rows: Ints
    idents: Ints
    first: Bools
    length: Ints


@dataclass(frozen=True, slots=True)
class Headers:
    """Columns of n frames; of one that carries another through a tunnel those of the inner one. version: 4, 6, or 0 for
    what is no IP. network: where its header begins in frames.data. protocol: 0 where the transport header is not there
    (a later fragment, cut, no IP). source, target: a hash of each end's address and port; ports are the identifier of
    an ICMP echo. payload: bytes that the transport carries. transport: where its header begins in frames.data; block:
    that header's first 32 bytes, (n, 32), which mean nothing behind the frame's end; there: how many of its first 64
    bytes are the file's. ident: IPv4's identification; kind: what the link layer carries, see Links; said: the protocol
    that IP names; sender: where the sender's hardware address is, or -1; through: the number of what each came through,
    whose names are in inside, 0 for nothing; outer: where the outermost network header begins."""

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
    ident: NDArray[np.uint32]
    kind: Ints
    said: Bytes
    sender: Ints
    outer: Ints
    through: Hashes
    inside: dict[int, tuple[str, ...]]
    fragments: Fragments

    def __len__(self) -> int:
        return len(self.version)

    @property
    def tunnels(self) -> bool:
        """Whether any came through a tunnel: else the outermost network headers are the only ones."""
        return self.outer is not self.network

    def blocks(self, rows: Ints) -> Bytes:
        """The blocks of these rows."""
        return np.asarray(self.block.view(f"V{BLOCK}")[rows, 0].view(np.uint8).reshape(-1, BLOCK), dtype=np.uint8)


def headers(frames: Frames) -> Headers:
    """The columns of a batch."""
    inside = Inside(len(frames))
    found = _headers(frames, inside, None)
    rows = np.arange(len(frames))
    current = found
    for _ in range(MOST_TUNNELS):
        tunnels, inner = tunnelled(current, inside, rows)
        if not len(tunnels):
            break
        if not found.tunnels:
            found = replace(found, outer=found.network.copy())
        rows = rows[tunnels]
        current = _headers(inner, inside, rows)
        _replace(found, rows, current)
    return found


def tunnelled(current: Headers, inside: Inside, numbers: Ints) -> tuple[Ints, Frames]:
    """(rows that carry another packet through a tunnel, what they carry): Geneve (RFC 8926), VXLAN (RFC 7348) with its
    group policies and VXLAN-GPE, GRE (RFC 2784, 2890) with ERSPAN, and IP in IP (RFC 2003, 4213). numbers: their rows
    in `inside`."""
    frames, protocol, said, port = current.frames, current.protocol, current.said, current.target_port
    data, end = frames.data, frames.at + frames.captured
    udp = np.flatnonzero(protocol == UDP)
    ports_of = port[udp]
    rows: list[Ints] = []
    begins: list[Ints] = []
    kinds: list[Ints] = []

    def add(chosen: Ints, at: Ints, kind: Ints, name: str, number: Ints | None = None) -> None:
        fits = at < end[chosen]
        inside.enter(numbers[chosen[fits]], name, None if number is None else number[fits])
        rows.append(chosen[fits])
        begins.append(at[fits])
        kinds.append(np.where(kind[fits] == TEB, ETHERNET, -kind[fits]))

    for ports, name in (((4789, 8472), "VXLAN"), ((4790, 4790), "VXLAN-GPE"), ((6081, 6081), "Geneve")):
        chosen = udp[(ports_of == ports[0]) | (ports_of == ports[1])]
        head = pieces(data, current.transport[chosen] + 8, 8)
        network = column(head, 4, 4) >> 8
        if name != "Geneve":
            # what else stands there without VXLAN-GPE's bit is a group policy
            kind = np.where(head[:, 0] & 0x04 > 0, _GPE[np.minimum(head[:, 3], len(_GPE) - 1)], TEB)
            good, behind = (head[:, 0] & 0x08 != 0) & (kind > 0), np.full(len(chosen), 16)
        else:
            good, kind = head[:, 0] >> 6 == 0, column(head, 2, 2)
            behind = 16 + (head[:, 0] & 63).astype(np.int64) * 4
        at = current.transport[chosen] + behind
        add(chosen[good], at[good], kind[good], name, network[good])
    there = (current.version > 0) & ~_later(current)
    chosen = np.flatnonzero(there & (said == GRE))
    if len(chosen):
        at = current.transport[chosen]
        head = pieces(data, at, 16)
        flags, kind = column(head, 0, 2), column(head, 2, 2)
        summed, keyed, counted = (flags & bit > 0 for bit in (0x8000, 0x2000, 0x1000))
        key = column(pieces(data, at + 4 + 4 * summed, 4), 0, 4)
        at = at + 4 + 4 * summed + 4 * keyed + 4 * counted
        spans, third = (kind == 0x88BE) | (kind == 0x22EB), kind == 0x22EB
        longer = third & (pieces(data, at + 11, 1)[:, 0] & 1 == 1)
        at = at + np.where(third, 12 + 8 * longer, 8 * (spans & counted))
        good = flags & 0x4007 == 0
        for mask, name in ((good & ~keyed & ~spans, "GRE"), (good & keyed & ~spans, "GRE"), (good & spans, "ERSPAN")):
            number = key[mask] if name == "GRE" and keyed[mask].any() else None
            add(chosen[mask], at[mask], np.where(spans, TEB, kind)[mask], name, number)
    for value, kind_of in ((IPIP, IP4), (SIX, IP6)):
        chosen = np.flatnonzero(there & (said == value))
        add(chosen, current.transport[chosen], np.full(len(chosen), kind_of), "IP in IP")
    found, at, kind = np.concatenate(rows), np.concatenate(begins), np.concatenate(kinds)
    taken = at - frames.at[found]
    return found, Frames(
        data, at, frames.captured[found] - taken, np.maximum(1, frames.wire[found] - taken), frames.time_ns[found],
        kind, frames.direction[found],
    )  # fmt: skip


def _later(current: Headers) -> Bools:
    """Which are fragments behind the first."""
    found = np.zeros(len(current), dtype=np.bool_)
    found[current.fragments.rows[~current.fragments.first]] = True
    return found


def _replace(outer: Headers, rows: Ints, inner: Headers) -> None:
    """What came through a tunnel takes the place of its outer headers."""
    for name in (
        "version", "network", "protocol", "source", "target", "source_port", "target_port", "payload", "transport",
        "block", "there", "ident", "kind", "said", "sender",
    ):  # fmt: skip
        getattr(outer, name)[rows] = getattr(inner, name)


def _headers(frames: Frames, inside: Inside, numbers: Ints | None) -> Headers:
    """numbers: the rows of the frames in `inside`; None where they are the same."""
    data = frames.data
    link = links(frames, inside, numbers)
    end = frames.at + frames.captured
    network = link.network
    first = pieces(data, network, 40)
    is_ip = (link.kind == IP4) | (link.kind == IP6)
    version = (first[:, 0] >> 4) * is_ip
    header = (first[:, 0] & 15).astype(np.int64) * 4
    length, protocol = column(first, 2, 2), first[:, 9].copy()
    cut_up = column(first, 6, 2) & 0x3FFF
    four = version == 4
    good = four & (header >= 20) & (cut_up & 0x1FFF == 0)
    ip = four & (network + 20 <= end)
    six = np.flatnonzero(version == 6)
    if len(six):
        header[six], protocol[six] = 40, first[six, 6]
        length[six] = column(first[six], 4, 2) + 40
        ip[six] = good[six] = network[six] + 40 <= end[six]
    # segments that nobody has cut up yet may have no length of their own
    unsaid = np.flatnonzero((length == 0) | (version == 6) & (length == 40))
    length[unsaid] = frames.wire[unsaid] - network[unsaid] + frames.at[unsaid]
    good &= network + header <= end
    cut = np.flatnonzero(ip & four & (cut_up != 0))
    parts = [(cut, column(first[cut], 4, 2), cut_up[cut] & 0x1FFF == 0)]
    if len(six):
        protocol, header, good, more = _extensions(data, network, end, protocol, header, good, version)
        parts += more
    cut, idents = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
    fragments = Fragments(
        cut, idents, np.concatenate([part[2] for part in parts]), np.maximum(0, length[cut] - header[cut])
    )
    transport = network + header
    block = pieces(data, transport, BLOCK)
    said = protocol
    good &= transport + _LEAST[protocol] <= end
    protocol = (protocol * good).astype(np.uint8)
    version = (version * ip).astype(np.uint8)
    tcp = protocol == TCP
    size = np.where(tcp, (block[:, 12] >> 4).astype(np.int64) * 4, 8)
    payload = np.where(protocol > 0, np.maximum(0, length - header - size), 0)
    ports = words(block)[:, 0].astype(np.int64)
    ports *= tcp | (protocol == UDP)
    source_port, target_port = ports >> 16, ports & 0xFFFF
    echo = np.flatnonzero(is_echo(protocol, block))
    source_port[echo] = target_port[echo] = column(block[echo], 4, 2)
    source, target = hashed_ends(first, version, protocol, source_port, target_port)
    there = np.clip(end - transport, 0, 64)
    return Headers(
        frames, version, network, protocol, source, target, source_port, target_port, payload, transport, block, there,
        words(first)[:, 1] >> np.uint32(16), link.kind, said, link.sender, network,
        inside.of if numbers is None else inside.of[numbers], inside.names, fragments,
    )  # fmt: skip


_LEAST = np.zeros(256, dtype=np.int64)
_LEAST[[TCP, UDP, ICMP, ICMP6]] = [20, 8, 8, 8]


def _extensions(
    data: Bytes, network: Ints, end: Ints, protocol: Bytes, header: Ints, good: Bools, version: Bytes
) -> tuple[Bytes, Ints, Bools, list[tuple[Ints, Ints, Bools]]]:
    """(protocol, header length, whether the transport header is there; of fragments: rows, names, whether they are
    first) behind IPv6's extension headers."""
    six = version == 6
    cut: list[tuple[Ints, Ints, Bools]] = []
    for _ in range(_MOST_EXTENSIONS):
        more = np.flatnonzero(six & good & np.isin(protocol, _EXTENSIONS))
        if not len(more):
            break
        place = network[more] + header[more]
        block = pieces(data, place, 8)
        whole = place + 8 <= end[more]
        fragment = (protocol[more] == 44) & whole
        later = fragment & (column(block, 2, 2) & 0xFFF8 != 0)
        real = np.flatnonzero(fragment & (column(block, 2, 2) & 0xFFF9 != 0))
        cut.append((more[real], column(block[real], 4, 4), ~later[real]))
        good[more] &= whole & ~later
        header[more] += np.where(protocol[more] == 44, 8, (block[:, 1].astype(np.int64) + 1) * 8)
        protocol[more] = block[:, 0]
    return protocol, header, good, cut


def is_echo(protocol: Bytes, block: Bytes) -> Bools:
    kind = block[:, 0]
    four = (protocol == ICMP) & ((kind == 0) | (kind == 8))
    return np.asarray(four | (protocol == ICMP6) & ((kind == 128) | (kind == 129)), dtype=np.bool_)


def hashed_ends(
    first: Bytes, version: Bytes, protocol: Bytes, source_port: Ints, target_port: Ints
) -> tuple[Hashes, Hashes]:
    """A hash of 64 bits of address, port and protocol for each end."""
    numbers = words(first)
    below = protocol.astype(np.uint64) << np.uint64(16)
    source = numbers[:, 3].astype(np.uint64) << np.uint64(32)
    target = numbers[:, 4].astype(np.uint64) << np.uint64(32)
    six = np.flatnonzero(version == 6)
    if len(six):
        halves = np.ascontiguousarray(first[six, 8:40]).view(">u8").astype(np.uint64)
        source[six] = mixed(mixed(halves[:, 0]) ^ halves[:, 1])
        target[six] = mixed(mixed(halves[:, 2]) ^ halves[:, 3])
    source ^= below ^ source_port.astype(np.uint64)
    target ^= below ^ target_port.astype(np.uint64)
    return mixed(source), mixed(target)


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
        whole = pieces(headers.frames.data, headers.transport[chosen[left]], 64)
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
