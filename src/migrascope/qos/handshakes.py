"""TCP's handshakes: how long each took, and why there is none."""

import numpy as np

from migrascope.qos.flows import Batch
from migrascope.qos.segments import Segments
from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import ACK, RST, SYN

NO_TIME = -(1 << 63)
UNANSWERED = "its SYN was not answered in the capture"
_ASKED, _AGREED, _REFUSED = 1, 2, 4
_COLUMNS = {"initial_ns": NO_TIME, "_asked_ns": 0, "_asked": -1, "_asked_length": 0, "_heard": 0}


class Handshakes:
    """By flow. initial_ns: of the initial round trip, NO_TIME where it is not known."""

    def __init__(self) -> None:
        self.initial_ns: Ints = np.zeros(0, dtype=np.int64)
        self._asked_ns: Ints = np.zeros(0, dtype=np.int64)
        self._asked: Ints = np.zeros(0, dtype=np.int64)
        self._asked_length: Ints = np.zeros(0, dtype=np.int64)
        self._heard: Ints = np.zeros(0, dtype=np.int64)

    def grow(self, flows: int) -> None:
        """Makes room for so many."""
        more = flows - len(self.initial_ns)
        for name, unknown in _COLUMNS.items():
            setattr(self, name, np.concatenate((getattr(self, name), np.full(more, unknown, dtype=np.int64))))

    def initial(self, flow: int) -> tuple[int | None, str]:
        """(ns of the initial round trip, from the last SYN to the acknowledgement that ends the handshake; why there is
        none)."""
        found, heard = int(self.initial_ns[flow]), int(self._heard[flow])
        if found >= 0:
            return found, ""
        if found > NO_TIME:
            return None, "the clock stepped back during its handshake"
        if heard & _ASKED and not heard & _AGREED:
            return None, "refused by the peer" if heard & _REFUSED else UNANSWERED
        if heard & _ASKED:
            return None, "its handshake is cut off: nothing acknowledged the SYN+ACK in the capture"
        return None, "its SYN is not in the capture" if heard & _AGREED else "its handshake is not in the capture"

    def add(self, batch: Batch, segments: Segments) -> Ints:
        """From the last SYN before it to the first segment of the same side that acknowledges, right behind the SYN or,
        of TCP Fast Open (RFC 7413), behind the data that it carries. By flow of the batch the row of that segment; -1
        where it is not among these."""
        flows, group = batch.flows, batch.group
        opened = np.full(len(flows), -1, dtype=np.int64)
        syn = segments.having(SYN)
        pending = (self._asked[flows] >= 0) & (self.initial_ns[flows] == NO_TIME)
        if not pending.any() and not syn.any():
            return opened
        acks, rst, rows = segments.having(ACK), segments.having(RST), np.arange(len(batch))
        asks = syn & ~acks & ~rst
        time, starts, side = batch.time_ns, batch.starts, batch.side
        last = np.maximum.accumulate(np.where(asks, rows, -1))
        inside = last >= starts[group]
        asked_ns = np.where(inside, time[last], self._asked_ns[flows][group])
        asked = np.where(inside, segments.seq[last] << 1 | side[last], self._asked[flows][group])
        length = np.where(inside, segments.length[last], self._asked_length[flows][group])
        asker = (asked >= 0) & (asked & 1 == side)
        ends = acks & ~syn & ~rst & asker & (((segments.seq - 1 - (asked >> 1)) & 0xFFFFFFFF) <= length)
        first = np.minimum.reduceat(np.where(ends, rows, len(rows)), starts)
        done = np.flatnonzero((self.initial_ns[flows] == NO_TIME) & (first < len(rows)))
        self.initial_ns[flows[done]] = time[first[done]] - asked_ns[first[done]]
        opened[done] = first[done]
        heard = np.where(asks, _ASKED, np.where(syn & acks, _AGREED, 0))
        heard |= np.where(rst & (asked >= 0) & ~asker, _REFUSED, 0)
        self._heard[flows] |= np.bitwise_or.reduceat(heard, starts)
        final = np.append(starts[1:], len(rows)) - 1
        self._asked_ns[flows], self._asked[flows] = asked_ns[final], asked[final]
        self._asked_length[flows] = length[final]
        return opened
