"""How often something comes again and again."""

import numpy as np

from migrascope.qos.flows import Batch
from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import Bools


def runs_of(marked: Bools, batch: Batch, before: Ints) -> Ints | None:
    """How many marked packets in a row of the same flow and side end with each; None where none is marked. before: how
    many ended with the last packet of the batch before, by flow of this one and side."""
    if not marked.any():
        return None
    runs = np.zeros(len(batch), dtype=np.int64)
    for side in (0, 1):
        rows = np.flatnonzero(batch.side == side)
        if not len(rows):
            continue
        again, group = marked[rows], batch.group[rows]
        counted, places = np.cumsum(again), np.arange(len(rows))
        first = np.concatenate(([True], group[1:] != group[:-1]))
        begin = np.maximum.accumulate(np.where(first, places, 0))
        reset = np.maximum.accumulate(np.where(~again, places, -1))
        inside = reset >= begin
        since = np.where(inside, counted[reset], counted[begin] - again[begin])
        runs[rows] = counted - since + np.where(inside, 0, before[group, side])
    return runs
