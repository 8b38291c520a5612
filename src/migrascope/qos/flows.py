"""Flows told apart, and the packets of a batch in the order of their flows."""

import ipaddress
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from migrascope.store.pcap.frames import Ints, column
from migrascope.store.pcap.layers import ACK, ICMP, ICMP6, SYN, TCP, UDP, Bools, Headers
from migrascope.store.pcap.links import Hashes

MOST_FLOWS = 1 << 17
"""So many flows are told apart; packets of further ones are only counted."""
_PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmp"}
_OTHERS, _FURTHER = -1, -2
_UNKNOWN = -16  # a code
_FLAGS_AT = 13
_REPLIES = (0, 129)
_MOST_ALIKE = 8
_ALL = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Flow:
    """Both ends of a flow as (packed address, port), side 0 and side 1; port is the identifier of an ICMP echo. inside:
    what its first packet came through, outermost first."""

    protocol: int
    ends: tuple[tuple[bytes, int], tuple[bytes, int]]
    inside: tuple[str, ...]

    @property
    def name(self) -> str:
        return _PROTOCOLS[self.protocol]

    def end(self, side: int) -> str:
        """An end as people write it: 192.0.2.1:80, [::1]:80."""
        packed, port = self.ends[side]
        text = str(ipaddress.ip_address(packed))
        return f"[{text}]:{port}" if len(packed) == 16 else f"{text}:{port}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Packets of one batch by the number of their flow, and by time within each. rows: where they are in the headers;
    places: where they are in the file, as the number of the packet; group: the place of their flow in this batch; side:
    which end sent them; starts: the first row of each flow; flows: the flows' numbers in the whole capture."""

    rows: Ints
    places: Ints
    group: Ints
    side: Ints
    starts: Ints
    flows: Ints
    time_ns: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def direction(self, chosen: "Ints | slice" = slice(None)) -> Ints:
        """The direction (2 * flow + side) of packets, of all by default."""
        return np.asarray(self.flows[self.group[chosen]] * 2 + self.side[chosen], dtype=np.int64)


class Flows:
    """The flows of a capture in the order of their first packets. Side 0 is the end that sent the first packet; given a
    server, only its flows count and it is side 1. further: packets of flows beyond MOST_FLOWS.

    Within, a flow's code is 2 * its number, and 1 more where the end whose hash is greater is side 0.
    """

    def __init__(self, server: str | None = None) -> None:
        self.known: list[Flow] = []
        self.further = 0
        self._server = ipaddress.ip_address(server).packed if server else None
        self._numbers: dict[int, int] = {}
        self._begun: dict[int, tuple[int, int]] = {}
        self._first: list[int] = []
        self._earlier: dict[int, list[int]] = {}
        self._packets = 0
        self._tunnels = False
        self._ways: dict[int, dict[int, int]] = {}
        self._alike: dict[int, list[int]] = {}

    def batch(self, headers: Headers, chosen: Bools) -> Batch:
        """The chosen packets, those of them whose flows are told apart."""
        rows = np.flatnonzero(chosen)
        source, target, through = headers.source, headers.target, headers.through
        if len(rows) < len(headers):
            source, target, through = source[rows], target[rows], through[rows]
        name = source + target
        if through.any():
            name ^= through
        order = _by_flow(name)
        rows, name = rows[order], name[order]
        new = np.concatenate(([True], name[1:] != name[:-1])) if len(name) else np.zeros(0, dtype=np.bool_)
        fresh = self._fresh(headers, rows, name, new)
        new |= fresh
        starts = np.flatnonzero(new)
        sizes = np.diff(starts, append=len(name))
        group = np.cumsum(new) - 1
        codes = self._codes(headers, name[starts], rows[starts], fresh[starts])
        numbers, turned = codes >> 1, codes & 1
        side = (source > target)[order].astype(np.int64)
        own = np.flatnonzero((source == target)[order])  # to one's own address and port: the reply goes back
        if len(own):
            side[own] = np.isin(headers.block[rows[own], 0], _REPLIES) & (headers.protocol[rows[own]] != UDP)
        side ^= turned[group]
        told = np.argsort(numbers, kind="stable")
        passed = self._packets
        self._packets += len(headers)
        self.further += int(sizes[numbers == _FURTHER].sum())
        told = told[numbers[told] >= 0]
        sizes = sizes[told]
        begins = np.cumsum(sizes) - sizes
        places = np.repeat(starts[told] - begins, sizes) + np.arange(int(sizes.sum()))
        rows = rows[places]
        group = np.repeat(np.arange(len(told)), sizes)
        side, flows = side[places], numbers[told]
        if (flows[1:] == flows[:-1]).any():  # the two ways of a flow came through different things
            order = np.lexsort((rows, flows[group]))
            rows, side = rows[order], side[order]
            flows, begins, group = np.unique(flows[group][order], return_index=True, return_inverse=True)
        return Batch(rows, passed + rows, group, side, begins, flows, headers.frames.time_ns[rows])

    def direction(self, source: int, target: int, headers: Headers, row: int) -> int | None:
        """The direction (2 * flow + side) of a packet between these ends (a hash of each) that was sent before a row of
        the batch that was numbered last, and which that row is about; None where there is no such flow."""
        bare = (source + target) & _ALL
        key = bare ^ int(headers.through[row])
        turn, place = int(source > target), self._packets - len(headers) + row
        found = [*self._earlier.get(key, []), *([self._numbers[key]] if key in self._numbers else [])]
        for code in reversed(found or self._alike.get(bare, [])):
            if code >= 0 and self._first[code >> 1] < place:
                return code ^ turn
        return None

    def _fresh(self, headers: Headers, rows: Ints, name: Hashes, new: Bools) -> Bools:
        """Which packets begin another connection between ends that had one: a SYN whose number is not that of the
        connection so far, or a SYN+ACK that acknowledges neither it nor data that came with it (RFC 7413)."""
        fresh = np.zeros(len(rows), dtype=np.bool_)
        begins = (headers.block[:, _FLAGS_AT] & SYN == SYN) & (headers.protocol == TCP)
        if not begins.any():
            return fresh
        at = np.flatnonzero(begins[rows])
        block = headers.block[rows[at]]
        for place, key, asks, seq, acked, length in zip(
            at.tolist(), name[at].tolist(), (block[:, _FLAGS_AT] & ACK == 0).tolist(), column(block, 4, 4).tolist(),
            column(block, 8, 4).tolist(), headers.payload[rows[at]].tolist(), strict=True,
        ):  # fmt: skip
            known = self._begun.get(key)
            if asks:
                begun = (seq, length)
                fresh[place] = known[0] != seq if known else not new[place] or key in self._numbers
            else:
                begun = ((acked - 1) & 0xFFFFFFFF, 0)
                if known and (begun[0] - known[0]) & 0xFFFFFFFF <= known[1]:
                    continue
                fresh[place] = known is not None
            if known or len(self._begun) < MOST_FLOWS:
                self._begun[key] = begun
        return fresh

    def _codes(self, headers: Headers, keys: Hashes, rows: Ints, fresh: Bools) -> Ints:
        """The code of each flow of a batch. rows: its first packet. Numbers go by the first packets, whichever batch
        they are in."""
        known = self._numbers
        codes = np.fromiter(map(known.get, keys.tolist(), repeat(_UNKNOWN)), np.int64, len(keys))
        chosen = np.flatnonzero(fresh | (codes == _UNKNOWN) | self._tunnels)
        chosen = chosen[np.argsort(rows[chosen])]
        for at, key, row, renewed in zip(
            chosen.tolist(), keys[chosen].tolist(), rows[chosen].tolist(), fresh[chosen].tolist(), strict=True
        ):
            codes[at] = self._code(key, headers, row, renewed)
        return codes

    def _code(self, key: int, headers: Headers, row: int, renewed: bool) -> int:
        if renewed and key in self._numbers:
            earlier = self._earlier.setdefault(key, [])
            earlier.append(self._numbers.pop(key))
            del earlier[:-_MOST_ALIKE]
        found = self._numbers.get(key)
        if found is None:
            found = self._other_way(headers, row) if not renewed else None
            if found is None:
                found = self._add(headers, row)
            if found >> 1 == _FURTHER:
                return found
            self._numbers[key] = found
        if found >= 0 and self._tunnels:
            self._ways.get(found >> 1, {}).setdefault(_turn(headers, row), int(headers.through[row]))
        return found

    def _other_way(self, headers: Headers, row: int) -> int | None:
        """The flow between the same ends whose packets of this side have not been seen, while those of the other came
        through something else: another VLAN or virtual network, or none."""
        turn = _turn(headers, row)
        for code in reversed(self._alike.get(_bare(headers, row), [])):
            if turn not in self._ways[code >> 1]:
                return code
        return None

    def _add(self, headers: Headers, row: int) -> int:
        at, data = int(headers.network[row]), headers.frames.data
        begin, size = (12, 4) if headers.version[row] == 4 else (8, 16)
        source = bytes(data[at + begin : at + begin + size])
        target = bytes(data[at + begin + size : at + begin + 2 * size])
        if self._server is not None and self._server not in (source, target):
            return 2 * _OTHERS
        if len(self.known) >= MOST_FLOWS:
            return 2 * _FURTHER
        ends = ((source, int(headers.source_port[row])), (target, int(headers.target_port[row])))
        side = int(self._server is not None and self._server == source)
        through = int(headers.through[row])
        inside = headers.inside.get(through, ())
        self._first.append(self._packets + row)
        self.known.append(Flow(int(headers.protocol[row]), ends[::-1] if side else ends, inside))
        found = 2 * (len(self.known) - 1) + (side ^ _turn(headers, row))
        self._tunnels |= through != 0
        if self._tunnels:
            self._ways[found >> 1] = {_turn(headers, row): through}
            alike = self._alike.setdefault(_bare(headers, row), [])
            alike.append(found)
            del alike[:-_MOST_ALIKE]
        return found


def _turn(headers: Headers, row: int) -> int:
    return int(headers.source[row] > headers.target[row])


def _bare(headers: Headers, row: int) -> int:
    """What flows between the same ends have in common, whatever they came through."""
    return (int(headers.source[row]) + int(headers.target[row])) & _ALL


def measurable(headers: Headers) -> Bools:
    """Which packets are TCP, UDP and ICMP echoes."""
    protocol = headers.protocol
    plain = (protocol == TCP) | (protocol == UDP)
    if plain.all():
        return np.asarray(plain, dtype=np.bool_)
    kind = headers.block[:, 0]
    echo = (protocol == ICMP) & ((kind == 0) | (kind == 8)) | (protocol == ICMP6) & ((kind == 128) | (kind == 129))
    return np.asarray(plain | echo, dtype=np.bool_)


def _by_flow(name: Hashes) -> Ints:
    """The order by name, stable: by two of its four parts, because numpy counts numbers of 16 bits, which takes a
    quarter of the time of comparing whole names. Where two names have both in common it takes the slow way."""
    lower, upper = name.astype(np.uint16), (name >> np.uint64(16)).astype(np.uint16)
    order = np.argsort(lower, kind="stable")
    order = order[np.argsort(upper[order], kind="stable")]
    whole = name[order]
    half = whole.astype(np.uint32)
    if ((whole[1:] != whole[:-1]) & (half[1:] == half[:-1])).any():
        order = np.argsort(name, kind="stable")
    return np.asarray(order, dtype=np.int64)
