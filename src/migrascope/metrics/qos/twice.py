"""Packets that a capture holds twice: of all interfaces at once, or of a mirror that copies both ports.

The same bytes of IP's identification and the transport's header, checksum included, are one packet where neither the
second nor any packet in between was captured more than 1 ms apart from the first. Where a flow hardly ever has such, it
is the sender that sent twice.
"""

import numpy as np

from migrascope.metrics.qos.flows import Batch
from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import SYN, TCP, UDP, Bools, Headers
from migrascope.store.pcap.links import Hashes, mixed

WITHIN_NS = 1_000_000
_ODD = np.uint64(0x9E3779B97F4A7C15)
_LOWER = 1 << 18
SHARE = 8
"""Of so many packets with something in them one must have come twice, for the others to count as the same packet."""


class Twice:
    """What must be known between batches: the packets of the last 1 ms, and how often each flow had such."""

    def __init__(self) -> None:
        self._recent: Hashes = np.zeros(0, dtype=np.uint64)
        self._recent_ns: Ints = np.zeros(0, dtype=np.int64)
        self._recent_places: Ints = np.zeros(0, dtype=np.int64)
        self._seen: Ints = np.zeros((0, 2), dtype=np.int64)

    def find(self, batch: Batch, headers: Headers) -> Bools | None:
        """Which packets of a batch are in the capture already; None where none is."""
        name = _name(batch, headers)
        tcp = headers.protocol[batch.rows] == TCP
        solid = ~tcp | (headers.payload[batch.rows] > 0) | (headers.block[batch.rows, 13] & SYN > 0)
        need = int(batch.flows.max()) + 1
        if need > len(self._seen):
            more = max(need, 2 * len(self._seen)) - len(self._seen)
            self._seen = np.concatenate((self._seen, np.zeros((more, 2), dtype=np.int64)))
        often = _often(np.concatenate((self._recent, name)))
        found = self._judged(batch, headers, name, solid, often) if len(often) else None
        if found is None:
            self._seen[batch.flows, 0] += np.add.reduceat(solid.astype(np.int64), batch.starts)
        names = np.concatenate((self._recent, name))
        times = np.concatenate((self._recent_ns, batch.time_ns))
        places = np.concatenate((self._recent_places, batch.places))
        kept = _kept(names, times, places)
        self._recent, self._recent_ns, self._recent_places = names[kept], times[kept], places[kept]
        return found

    def _judged(self, batch: Batch, headers: Headers, name: Hashes, solid: Bools, often: Hashes) -> Bools:
        before = len(self._recent)
        names = np.concatenate((self._recent, name))
        times = np.concatenate((self._recent_ns, batch.time_ns))
        places = np.concatenate((self._recent_places, batch.places))
        rows = np.flatnonzero(np.isin(names, often))
        rows = rows[np.lexsort((places[rows], names[rows]))]
        same = np.flatnonzero(names[rows[1:]] == names[rows[:-1]])
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


def _kept(names: Hashes, times: Ints, places: Ints) -> Ints:
    """The packets that one to come can be the same as: of each name the last, if all since were within 1 ms of it."""
    near = np.flatnonzero(np.abs(times - times[np.argmax(places)]) <= WITHIN_NS)
    tail = np.flatnonzero(places >= places[near].min())
    tail = tail[np.argsort(places[tail])][::-1]
    since = times[tail]
    latest, earliest = np.maximum.accumulate(since), np.minimum.accumulate(since)
    _, last = np.unique(names[tail], return_index=True)
    last = last[(latest[last] - since[last] <= WITHIN_NS) & (since[last] - earliest[last] <= WITHIN_NS)]
    return np.asarray(tail[last], dtype=np.int64)


def _before(marked: Bools, batch: Batch) -> Ints:
    """How many packets of the flow are marked before each."""
    counted: Ints = np.cumsum(marked) - marked
    return np.asarray(counted - counted[batch.starts][batch.group], dtype=np.int64)


def _name(batch: Batch, headers: Headers) -> Hashes:
    """A hash of what makes a packet one: its ends, IP's identification, length, and the transport's header."""
    block, shift = headers.block.view(np.uint32), np.uint64(32)
    first = block[:, 1].astype(np.uint64) << shift | block[:, 2]
    second = block[:, 3].astype(np.uint64) << shift | block[:, 4]
    rest = headers.ident.astype(np.uint64) << np.uint64(48) ^ headers.payload.astype(np.uint64) << shift ^ block[:, 0]
    name = mixed(first * _ODD + second ^ headers.source) ^ rest
    flows = batch.flows.astype(np.uint64) * _ODD
    return np.asarray(name[batch.rows] ^ flows[batch.group], dtype=np.uint64)


def _often(names: Hashes) -> Hashes:
    """Those that come more than once. Only those that share the lower bits of another are sorted: to sort all takes
    several times as long."""
    lower = (names & np.uint64(_LOWER - 1)).astype(np.int64)
    places = np.arange(len(names), dtype=np.int32)
    last = np.zeros(_LOWER, dtype=np.int32)
    last[lower] = places
    rows = np.flatnonzero(last[lower] != places)
    sharing = np.zeros(len(names), dtype=np.bool_)
    sharing[rows] = sharing[last[lower[rows]]] = True
    some = np.sort(names[sharing])
    return np.asarray(some[1:][some[1:] == some[:-1]], dtype=np.uint64)
