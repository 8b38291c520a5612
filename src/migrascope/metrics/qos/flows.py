"""Flows told apart, and the packets of a batch in the order of their flows."""

import ipaddress
from dataclasses import dataclass

import numpy as np

from migrascope.store.pcap.frames import Ints, column
from migrascope.store.pcap.layers import ACK, ICMP, ICMP6, SYN, TCP, UDP, Bools, Hashes, Headers

MOST_FLOWS = 1 << 17
"""So many flows are told apart; packets of further ones are only counted."""
_PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmp"}
_OTHERS, _FURTHER = -1, -2
_FLAGS_AT = 13
_REPLIES = (0, 129)


@dataclass(frozen=True, slots=True)
class Flow:
    """Both ends of a flow as (packed address, port), side 0 and side 1; port is the identifier of an ICMP echo."""

    protocol: int
    ends: tuple[tuple[bytes, int], tuple[bytes, int]]

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


class Flows:
    """The flows of a capture in the order of their first packets. Side 0 is the end that sent the first packet; given a
    server, only its flows count and it is side 1. further: packets of flows beyond MOST_FLOWS."""

    def __init__(self, server: str | None = None) -> None:
        self.known: list[Flow] = []
        self.further = 0
        self._server = ipaddress.ip_address(server).packed if server else None
        self._numbers: dict[int, tuple[int, int]] = {}
        self._begun: dict[int, int] = {}
        self._packets = 0

    def batch(self, headers: Headers, chosen: Bools) -> Batch:
        """The chosen packets, those of them whose flows are told apart."""
        rows = np.flatnonzero(chosen)
        source, target = headers.source[rows], headers.target[rows]
        name = source + target
        order = _by_flow(name)
        rows, name = rows[order], name[order]
        new = np.concatenate(([True], name[1:] != name[:-1])) if len(name) else np.zeros(0, dtype=np.bool_)
        fresh = self._fresh(headers, rows, name, new)
        new |= fresh
        starts = np.flatnonzero(new)
        sizes = np.diff(starts, append=len(name))
        group = np.cumsum(new) - 1
        numbers, turned = np.zeros(len(starts), dtype=np.int64), np.zeros(len(starts), dtype=np.int64)
        first = np.argsort(rows[starts])  # numbers go by the first packets, whichever batch they are in
        for at, key, row, renewed in zip(
            first.tolist(), name[starts[first]].tolist(), rows[starts[first]].tolist(), fresh[starts[first]].tolist(),
            strict=True,
        ):  # fmt: skip
            numbers[at], turned[at] = self._number(key, headers, row, renewed)
        side = (source > target)[order].astype(np.int64)
        own = np.flatnonzero((source == target)[order])  # to one's own address and port: the reply goes back
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
        return Batch(
            rows, passed + rows, group, side[places], begins, numbers[told], headers.frames.time_ns[rows]
        )  # fmt: skip

    def _fresh(self, headers: Headers, rows: Ints, name: Hashes, new: Bools) -> Bools:
        """Which packets begin another connection between ends that had one: a SYN whose number, or a SYN+ACK whose
        acknowledged one, is not that of the connection so far."""
        fresh = np.zeros(len(rows), dtype=np.bool_)
        at = np.flatnonzero((headers.protocol[rows] == TCP) & (headers.block[rows, _FLAGS_AT] & SYN == SYN))
        if not len(at):
            return fresh
        block, key = headers.block[rows[at]], name[at]
        asks = block[:, _FLAGS_AT] & ACK == 0
        begun = np.where(asks, column(block, 4, 4), (column(block, 8, 4) - 1) & 0xFFFFFFFF)
        another = key[1:] != key[:-1]
        fresh[at[1:]] = ~another & (begun[1:] != begun[:-1])
        for place in np.flatnonzero(np.append(True, another)).tolist():
            known = self._begun.get(int(key[place]))
            if known is not None:
                fresh[at[place]] = known != begun[place]
            else:
                fresh[at[place]] = asks[place] and (not new[at[place]] or int(key[place]) in self._numbers)
        for place in np.flatnonzero(np.append(another, True)).tolist():
            if len(self._begun) < MOST_FLOWS or int(key[place]) in self._begun:
                self._begun[int(key[place])] = int(begun[place])
        return fresh

    def _number(self, key: int, headers: Headers, row: int, renewed: bool) -> tuple[int, int]:
        """(number of the flow, whether its sides are turned)."""
        if renewed:
            self._numbers.pop(key, None)
        found = self._numbers.get(key)
        if found is None:
            found = self._add(key, headers, row)
        return found

    def _add(self, key: int, headers: Headers, row: int) -> tuple[int, int]:
        at, data = int(headers.network[row]), headers.frames.data
        begin, size = (12, 4) if headers.version[row] == 4 else (8, 16)
        source = bytes(data[at + begin : at + begin + size])
        target = bytes(data[at + begin + size : at + begin + 2 * size])
        if self._server is not None and self._server not in (source, target):
            found = (_OTHERS, 0)
        elif len(self.known) >= MOST_FLOWS:
            return _FURTHER, 0
        else:
            ends = ((source, int(headers.source_port[row])), (target, int(headers.target_port[row])))
            side = int(self._server is not None and self._server == source)
            self.known.append(Flow(int(headers.protocol[row]), ends[::-1] if side else ends))
            found = (len(self.known) - 1, side ^ int(headers.source[row] > headers.target[row]))
        self._numbers[key] = found
        return found


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
    """The order by name, stable: one sort of numbers that hold the upper bits of the name and the place. Where two
    names share their upper bits it takes the slow way."""
    bits = np.uint64(max(1, len(name).bit_length()))
    places = np.arange(len(name), dtype=np.uint64)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    keys = np.sort((name & ~mask) | places)
    order = (keys & mask).astype(np.int64)
    sorted_, upper = name[order], keys >> bits
    if ((sorted_[1:] != sorted_[:-1]) & (upper[1:] == upper[:-1])).any():
        return np.argsort(name, kind="stable")
    return order
