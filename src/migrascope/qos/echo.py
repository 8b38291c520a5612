"""ICMP echo in a capture: round trips (RFC 2681) and requests without a reply (RFC 2680's loss, of the round trip)."""

import numpy as np

from migrascope.qos.flows import Batch
from migrascope.qos.match import Answers, Events, Matcher
from migrascope.qos.stretches import stretches
from migrascope.store.pcap.frames import Bytes, Ints, column

PATIENCE_NS = 3_000_000_000
_REQUESTS, _REPLIES = (8, 128), (0, 129)


class Echo:
    """Requests that wait for their reply, at most 3 s. One whose identifier and number come again has its own reply."""

    def __init__(self) -> None:
        self._matcher = Matcher(PATIENCE_NS, newest=True)
        self._answered_ns: dict[int, int] = {}

    def add(self, batch: Batch, block: Bytes) -> tuple[Ints, Answers, Ints, Ints]:
        """Of a batch of echoes: (rows of the requests, round trips by the row of the reply, directions and stamps of
        the requests that are lost for good)."""
        kind, seq = block[:, 0], column(block, 6, 2)
        direction = batch.flows[batch.group] * 2 + batch.side
        asks, answers = np.flatnonzero(np.isin(kind, _REQUESTS)), np.flatnonzero(np.isin(kind, _REPLIES))
        time, places = batch.time_ns, batch.places
        asked = Events((direction[asks] << 16) | seq[asks], time[asks], places[asks])
        answered = Events(((direction[answers] ^ 1) << 16) | seq[answers], time[answers], places[answers])
        found, lost = self._matcher.match(asked, answered, answers, Events.none())
        answered_by = direction[found.row] ^ 1
        order = np.lexsort((found.asked_ns, answered_by))
        for begin, end in stretches(answered_by[order]):
            at, latest = int(answered_by[order[begin]]), int(found.asked_ns[order[end - 1]])
            self._answered_ns[at] = max(latest, self._answered_ns.get(at, latest))
        return asks, found, lost.keys >> 16, lost.times

    def rest(self, end_ns: int) -> tuple[Ints, Ints]:
        """(directions, stamps) of those that waited in vain when the capture ended: for 3 s, or while a later one of
        their flow was answered."""
        waiting = self._matcher.waiting
        direction = waiting.keys >> 16
        later = np.array([self._answered_ns.get(way, -1) for way in direction.tolist()], dtype=np.int64)
        late = (waiting.times < end_ns - PATIENCE_NS) | (waiting.times < later)
        return direction[late], waiting.times[late]
