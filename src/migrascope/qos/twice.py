"""Packets that a capture holds twice: of all interfaces at once, or of a mirror that copies both ports.

The same bytes of IP's identification and the transport's header, checksum included, are one packet where neither the
second nor any packet in between was captured more than 1 ms apart from the first. Where a flow hardly ever has such, it
is the sender that sent twice.
"""

import numpy as np

from migrascope.qos.flows import Batch
from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import SYN, TCP, UDP, Bools, Headers
from migrascope.store.pcap.links import Hashes, mixed

WITHIN_NS = 1_000_000
_ODD = np.uint64(0x9E3779B97F4A7C15)
_BITS = 18
SHARE = 8
"""Of so many packets with something in them one must have come twice, for the others to count as the same packet."""


class Twice:
    """What must be known between batches: the packets of the last 1 ms, and how often each flow had such."""

    def __init__(self) -> None:
        self._recent: Hashes = np.zeros(0, dtype=np.uint64)
        self._recent_marks: Hashes = np.zeros(0, dtype=np.uint64)
        self._recent_ns: Ints = np.zeros(0, dtype=np.int64)
        self._recent_places: Ints = np.zeros(0, dtype=np.int64)
        self._seen: Ints = np.zeros((0, 2), dtype=np.int64)

    def find(self, batch: Batch, headers: Headers) -> Bools | None:
        """Which packets of a batch are in the capture already; None where none is."""
        marks = np.concatenate((self._recent_marks, _marks(headers)[batch.rows]))
        solid = _solid(headers)[batch.rows]
        need = int(batch.flows.max()) + 1
        if need > len(self._seen):
            more = max(need, 2 * len(self._seen)) - len(self._seen)
            self._seen = np.concatenate((self._seen, np.zeros((more, 2), dtype=np.int64)))
        rows = _sharing(marks)
        names = self._names(batch, headers, rows)
        some = _repeated(names)
        found = None
        if some.any():
            found = self._judged(batch, headers, rows[some], names[some], solid)
        if found is None:
            self._seen[batch.flows, 0] += np.add.reduceat(solid.astype(np.int64), batch.starts)
        times = np.concatenate((self._recent_ns, batch.time_ns))
        places = np.concatenate((self._recent_places, batch.places))
        rows = _since(times, places)
        names = self._names(batch, headers, rows)
        kept = _last(names, times[rows])
        self._recent, self._recent_marks = names[kept], marks[rows[kept]]
        self._recent_ns, self._recent_places = times[rows[kept]], places[rows[kept]]
        return found

    def _names(self, batch: Batch, headers: Headers, rows: Ints) -> Hashes:
        """The names of some of the recent packets and, numbered behind them, those of a batch."""
        before = len(self._recent)
        found = np.empty(len(rows), dtype=np.uint64)
        recent = rows < before
        found[recent] = self._recent[rows[recent]]
        found[~recent] = _name(batch, headers, rows[~recent] - before)
        return found

    def _judged(self, batch: Batch, headers: Headers, rows: Ints, names: Hashes, solid: Bools) -> Bools:
        """rows: the recent packets and those of the batch whose name comes more than once."""
        before = len(self._recent)
        times = np.concatenate((self._recent_ns, batch.time_ns))
        places = np.concatenate((self._recent_places, batch.places))
        order = np.lexsort((places[rows], names))
        rows, names = rows[order], names[order]
        same = np.flatnonzero(names[1:] == names[:-1])
        first, second = rows[:-1][same], rows[1:][same]
        again = second[_close(times, places, first, second)]
        twin = np.zeros(len(batch), dtype=np.bool_)
        twin[again[again >= before] - before] = True
        # without an identification two datagrams of the same content are two datagrams
        unnamed = (headers.protocol[batch.rows] == UDP) & (headers.version[batch.rows] == 4)
        twin &= ~(unnamed & (headers.ident[batch.rows] == 0))
        single, double = _before(solid & ~twin, batch), _before(solid & twin, batch)
        single += self._seen[batch.flows, 0][batch.group]
        double += self._seen[batch.flows, 1][batch.group]
        self._seen[batch.flows, 0] += np.add.reduceat((solid & ~twin).astype(np.int64), batch.starts)
        self._seen[batch.flows, 1] += np.add.reduceat((solid & twin).astype(np.int64), batch.starts)
        twin &= np.where(solid, SHARE * (double + 1) >= single, (double > 0) & (SHARE * double >= single))
        return twin


def _close(times: Ints, places: Ints, first: Ints, second: Ints) -> Bools:
    """Of pairs of packets: whether all captured after the first up to the second were within 1 ms of the first."""
    order = np.argsort(places)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    in_order = np.append(times[order], 0)
    spans = np.stack((rank[first], rank[second]), axis=1).ravel() + 1
    latest, earliest = np.maximum.reduceat(in_order, spans)[::2], np.minimum.reduceat(in_order, spans)[::2]
    return np.asarray((latest - times[first] <= WITHIN_NS) & (times[first] - earliest <= WITHIN_NS), dtype=np.bool_)


def _since(times: Ints, places: Ints) -> Ints:
    """From the newest one on backward the packets since the first that was captured within 1 ms of the newest."""
    near = np.flatnonzero(np.abs(times - times[np.argmax(places)]) <= WITHIN_NS)
    tail = np.flatnonzero(places >= places[near].min())
    return np.asarray(tail[np.argsort(places[tail])][::-1], dtype=np.int64)


def _last(names: Hashes, times: Ints) -> Ints:
    """Of packets from the newest on backward those that one to come can be the same as: of each name the last, if all
    since were within 1 ms of it."""
    latest, earliest = np.maximum.accumulate(times), np.minimum.accumulate(times)
    _, last = np.unique(names, return_index=True)
    near = (latest[last] - times[last] <= WITHIN_NS) & (times[last] - earliest[last] <= WITHIN_NS)
    return np.asarray(last[near], dtype=np.int64)


def _before(marked: Bools, batch: Batch) -> Ints:
    """How many packets of the flow are marked before each."""
    counted: Ints = np.cumsum(marked) - marked
    return np.asarray(counted - counted[batch.starts][batch.group], dtype=np.int64)


def _name(batch: Batch, headers: Headers, chosen: Ints) -> Hashes:
    """A hash of what makes a packet one, of some of a batch: its ends, IP's identification, length, and the transport's
    header."""
    rows, shift = batch.rows[chosen], np.uint64(32)
    block = headers.block[rows].view(np.uint32)
    first = block[:, 1].astype(np.uint64) << shift | block[:, 2]
    second = block[:, 3].astype(np.uint64) << shift | block[:, 4]
    rest = headers.ident[rows].astype(np.uint64) << np.uint64(48) ^ block[:, 0]
    rest ^= headers.payload[rows].astype(np.uint64) << shift
    name = mixed(first * _ODD + second ^ headers.source[rows]) ^ rest
    return np.asarray(name ^ batch.flows[batch.group[chosen]].astype(np.uint64) * _ODD, dtype=np.uint64)


def _solid(headers: Headers) -> Bools:
    """Which packets hold something: all but bare acknowledgements."""
    syn = headers.block[:, 13] & SYN > 0
    return np.asarray((headers.protocol != TCP) | (headers.payload > 0) | syn, dtype=np.bool_)


def _marks(headers: Headers) -> Hashes:
    """Numbers that are the same for the same packet, and seldom for two: to name all takes far longer."""
    halves = np.ascontiguousarray(headers.block[:, :16]).view(np.uint64)
    found = halves[:, 0] * _ODD
    found ^= found >> np.uint64(32)
    found += halves[:, 1]
    found ^= headers.block.view(np.uint32)[:, 4] ^ headers.ident
    return np.asarray((found ^ found >> np.uint64(32)) * _ODD, dtype=np.uint64)


def _sharing(marks: Hashes) -> Ints:
    """The rows whose mark another one has too: of those that share its upper bits, which a table tells."""
    places, upper = np.arange(len(marks), dtype=np.int32), (marks >> np.uint64(64 - _BITS)).astype(np.int64)
    last = np.zeros(1 << _BITS, dtype=np.int32)
    last[upper] = places
    latest = last[upper]
    rows = np.flatnonzero(latest != places)
    shared = np.zeros(len(marks), dtype=np.bool_)
    shared[rows] = shared[latest[rows]] = True
    rows = np.flatnonzero(shared)
    return np.asarray(rows[_repeated(marks[rows])], dtype=np.int64)


def _repeated(numbers: Hashes) -> Bools:
    """Which come more than once."""
    again = np.sort(numbers)
    often = again[1:][again[1:] == again[:-1]]
    return np.isin(numbers, often) if len(often) else np.zeros(len(numbers), dtype=np.bool_)
