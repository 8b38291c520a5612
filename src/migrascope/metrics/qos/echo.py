"""ICMP echo in a capture: round trips (RFC 2681) and requests without a reply (RFC 2680's loss, of the round trip)."""

import numpy as np

from migrascope.metrics.qos.flows import Batch
from migrascope.metrics.qos.match import Answers, Matcher
from migrascope.store.pcap.frames import Bytes, Ints, column

PATIENCE_NS = 3_000_000_000
_REQUESTS, _REPLIES = (8, 128), (0, 129)


class Echo:
    """Requests that wait for their reply, at most 3 s."""

    def __init__(self) -> None:
        self._matcher = Matcher(PATIENCE_NS)

    def add(self, batch: Batch, block: Bytes) -> tuple[Ints, Answers, Ints, Ints]:
        """Of a batch of echoes: (rows of the requests, round trips by the row of the reply, directions and stamps of
        the requests that are lost for good)."""
        kind, seq = block[:, 0], column(block, 6, 2)
        direction = batch.flows[batch.group] * 2 + batch.side
        asks, answers = np.flatnonzero(np.isin(kind, _REQUESTS)), np.flatnonzero(np.isin(kind, _REPLIES))
        keys = (direction[asks] << 16) | seq[asks]
        answer_keys = ((direction[answers] ^ 1) << 16) | seq[answers]
        time = batch.time_ns
        none = np.zeros(0, dtype=np.int64)
        found, lost, lost_ns = self._matcher.match(keys, time[asks], answer_keys, time[answers], answers, none)
        late = found.after_ns > PATIENCE_NS
        lost, lost_ns = (
            np.concatenate((lost >> 16, direction[found.row[late]] ^ 1)),
            np.concatenate((lost_ns, found.asked_ns[late])),
        )
        kept = Answers(found.row[~late], found.after_ns[~late], found.asked_ns[~late])
        return asks, kept, lost, lost_ns

    def rest(self, end_ns: int) -> tuple[Ints, Ints]:
        """(directions, stamps) of those that waited in vain for 3 s until the capture ended."""
        late = self._matcher.times < end_ns - PATIENCE_NS
        return self._matcher.keys[late] >> 16, self._matcher.times[late]
