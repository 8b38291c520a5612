"""TCP's sequence numbers and time stamps, in one pass: what was sent again, what is missing, and round trips.

The words are those of Wireshark's analysis (tcp.analysis.*), so that its figures can be set beside these.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from migrascope.qos import sequence
from migrascope.qos.flows import Batch
from migrascope.qos.handshakes import Handshakes
from migrascope.qos.match import Answers, Events, Matcher
from migrascope.qos.runs import runs_of
from migrascope.qos.segments import Marks, Segments
from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import ACK, FIN, RST, SYN, Bools

FAST_NS = 20_000_000
REORDERED_NS = 3_000_000
PATIENCE_NS = 60_000_000_000
_STAMP = 1 << 32
_STATE = (
    *sequence.STATE, "top", "top_ns", "ack", "window", "last_ns", "alive", "duplicates", "value", "echoed", "parted",
)  # fmt: skip


class Tcp:
    """What must be known of every flow's two sides between batches."""

    def __init__(self) -> None:
        self._size = 0
        self._ints = {name: np.zeros((0, 2), dtype=np.int64) for name in _STATE}
        self._matcher = Matcher(PATIENCE_NS, series_bits=33)
        self.handshakes = Handshakes()

    def _grow(self, flows: int) -> None:
        if flows <= self._size:
            return
        more = max(flows, 2 * self._size, 1024) - self._size
        self._size += more
        for name, values in self._ints.items():
            self._ints[name] = np.concatenate((values, np.zeros((more, 2), dtype=np.int64)))
        self.handshakes.grow(self._size)

    def add(self, batch: Batch, segments: Segments) -> Marks:
        """The marks of a batch whose flows are all TCP."""
        self._grow(int(batch.flows.max()) + 1)
        return _Pass(self, batch, segments).marks()


class _Pass:
    """One batch against what was known before it."""

    def __init__(self, tcp: Tcp, batch: Batch, segments: Segments) -> None:
        self.tcp, self.batch, self.segments = tcp, batch, segments
        self.n = len(batch)
        self.rows = np.arange(self.n)
        self.second = batch.side == 1
        self.both = batch.group * 2 + batch.side
        self.state = {name: values[batch.flows] for name, values in tcp._ints.items()}
        self.syn, self.fin, self.rst = (segments.having(bit) for bit in (SYN, FIN, RST))
        self.acks = segments.having(ACK)

    def marks(self) -> Marks:
        """See Tcp.add; what is known afterwards is kept."""
        s = self.segments
        previous, previous_other = self._previous()
        x, a = sequence.unwrapped(self.state, self.batch, s)
        length = s.length
        taken = length + self.syn + self.fin
        end = x + taken
        data = taken > 0
        begin = self.batch.starts[self.batch.group]
        self.unseen, self.unseen_other = np.flatnonzero(previous < begin), np.flatnonzero(previous_other < begin)
        top = self._top(end)
        seen = top > 0
        last_ack, window = self._last("ack", a, previous), self._last("window", s.window, previous)
        other_ack = self._others_last("ack", a, previous_other)

        quiet = ~(self.syn | self.fin | self.rst)
        alive = (length <= 1) & quiet & seen & (x == top - 1)
        behind = data & seen & (x < top) & ~alive & ~((length > 1) & (x == top - 1))
        spurious = (length > 0) & ~alive & (other_ack > 0) & (x + length <= other_ack)
        gap = seen & (x > top) & ~self.rst
        duplicate = (
            (length == 0) & quiet & seen & self.acks & (a == last_ack) & (x == top)
            & (s.window == window) & (window > 0)
        )  # fmt: skip
        if alive.any() or self.state["alive"].any():
            duplicate &= ~self._others_last("alive", alive, previous_other)
        runs = runs_of(duplicate, self.batch, self.state["duplicates"])
        again, reordered = spurious, np.zeros(self.n, dtype=np.bool_)
        advancing = ~self.rst & (end > top)
        candidates = np.flatnonzero(behind & ~spurious)
        self.opened = self.tcp.handshakes.add(self.batch, s)
        if len(candidates):
            again = spurious.copy()
            again[candidates] = True
            out = candidates[self._out_of_order(candidates, x, end, top, other_ack, previous_other, runs, advancing)]
            again[out], reordered[out] = False, True
        self.parted = self._parted(gap, advancing)
        trips = self._trips(previous, end, a, last_ack, data, behind | spurious, advancing)
        self._keep(end, top, a, runs, advancing, alive)
        return Marks(data, again, reordered, gap, duplicate, trips)

    def _previous(self) -> tuple[Ints, Ints]:
        """The row before of the same side, and of the other; it may be of another flow, which the caller checks."""
        sides = []
        for side in (~self.second, self.second):
            last = np.maximum.accumulate(np.where(side, self.rows, -1))
            sides.append(np.concatenate(([-1], last[:-1])))
        return np.where(self.second, sides[1], sides[0]), np.where(self.second, sides[0], sides[1])

    def _last(self, name: str, values: NDArray[Any], previous: Ints) -> NDArray[Any]:
        """A number of the row before of the same side; of its first row here what the batches before have left."""
        found = values[previous]
        found[self.unseen] = self.state[name].ravel()[self.both[self.unseen]]
        return found

    def _others_last(self, name: str, values: NDArray[Any], previous_other: Ints) -> NDArray[Any]:
        """The same of the other side."""
        found = values[previous_other]
        found[self.unseen_other] = self.state[name].ravel()[self.both[self.unseen_other] ^ 1]
        return found

    def _top(self, end: Ints) -> Ints:
        """The highest end of a segment of the same side before each; 0 where there was none."""
        starts = self.batch.starts
        shift = 62 - len(starts).bit_length()
        above, floors = self.batch.group << shift, np.arange(len(starts)) << shift
        raised = np.where(self.rst, 0, end) + above
        found = []
        for side, mine in enumerate((~self.second, self.second)):
            before = np.concatenate(([0], np.where(mine, raised, above)[:-1]))
            before[starts] = self.state["top"][:, side] + floors
            found.append(np.maximum.accumulate(before))
        return np.asarray(np.where(self.second, found[1], found[0]) - above, dtype=np.int64)

    def _parted(self, gap: Bools, advancing: Bools) -> Bools | None:
        """Takes the gaps back that lie behind a first fragment, whose further ones fill them; says which segments
        such are, None where none is known."""
        known = self.segments.parted
        if known is None and not self.state["parted"].any():
            return None
        parted = np.zeros(self.n, dtype=np.bool_) if known is None else known
        rows = np.flatnonzero(gap)
        if len(rows):
            latest = self._highest(rows, advancing)
            inside = latest >= self.batch.starts[self.batch.group[rows]]
            before = self.state["parted"].ravel()[self.both[rows]] > 0
            gap[rows[np.where(inside, parted[latest], before)]] = False
        return parted

    def _highest(self, rows: Ints, advancing: Bools) -> Ints:
        """The row before each of these that was the highest of the same side; it may be of another flow."""
        latest = [
            np.concatenate(([-1], np.maximum.accumulate(np.where(advancing & side, self.rows, -1))[:-1]))[rows]
            for side in (~self.second, self.second)
        ]
        return np.where(self.second[rows], latest[1], latest[0])

    def _out_of_order(
        self, rows: Ints, x: Ints, end: Ints, top: Ints, other_ack: Ints, previous_other: Ints, runs: Ints | None,
        advancing: Bools,
    ) -> Bools:  # fmt: skip
        """Which of the segments that lie behind only came late: soon after the highest, and not after duplicate
        acknowledgements that ask for them."""
        time, group = self.batch.time_ns, self.batch.group
        begin = self.batch.starts[group[rows]]
        both = self.both[rows]
        asked = previous_other[rows]
        inside = asked >= begin
        told_ns = np.where(inside, time[asked], self.state["last_ns"].ravel()[both ^ 1])
        run = self.state["duplicates"].ravel()[both ^ 1]
        run = np.where(inside, runs[asked] if runs is not None else 0, run)
        fast = (run >= 2) & (other_ack[rows] == x[rows]) & (time[rows] - told_ns < FAST_NS)
        highest = self._highest(rows, advancing)
        set_ns = np.where(highest >= begin, time[highest], self.state["top_ns"].ravel()[both])
        initial = self.tcp.handshakes.initial_ns[self.batch.flows[group[rows]]]
        threshold = np.where((initial >= 0) & (rows > self.opened[group[rows]]), initial, REORDERED_NS)
        late = (time[rows] - set_ns < threshold) & (top[rows] != end[rows])
        return np.asarray(~fast & late, dtype=np.bool_)

    def _trips(
        self, previous: Ints, end: Ints, a: Ints, last_ack: Ints, data: Bools, again: Bools,
        advancing: Bools,
    ) -> Answers:  # fmt: skip
        """RFC 7323: from the first segment with a time stamp until its first echo. Without time stamps from a segment's
        end to the acknowledgement of exactly that, but for those sent again (Karn)."""
        stamps, time = self.segments.stamps, self.batch.time_ns
        value, echoed = self._last("value", stamps.value, previous), self._last("echoed", stamps.echoed, previous)
        bare = ~stamps.there
        asks, answers = data & (stamps.value != value), self.acks & (stamps.echoed != echoed)
        carried, taken = stamps.value | _STAMP, stamps.echoed | _STAMP
        if bare.any():
            asks = np.where(bare, data & advancing & ~again, asks)
            answers = np.where(bare, self.acks & (a > last_ack), answers)
            carried, taken = np.where(bare, end & 0xFFFFFFFF, carried), np.where(bare, a & 0xFFFFFFFF, taken)
        flow = self.batch.flows[self.batch.group]
        asking = [np.flatnonzero(asks & side) for side in (~self.second, self.second)]
        answering = [np.flatnonzero(answers & side) for side in (self.second, ~self.second)]
        keys, answer_keys = (
            np.concatenate([(side << 62) | (flow[rows] << 33) | number[rows] for side, rows in enumerate(chosen)])
            for chosen, number in ((asking, carried), (answering, taken))
        )
        void = np.flatnonzero(again & bare)
        void_keys = (self.batch.side[void] << 62) | (flow[void] << 33) | carried[void]
        asked, answered = np.concatenate(asking), np.concatenate(answering)
        places = self.batch.places
        found, _ = self.tcp._matcher.match(
            Events(keys, time[asked], places[asked]), Events(answer_keys, time[answered], places[answered]), answered,
            Events(void_keys, time[void], places[void]),
        )  # fmt: skip
        return found

    def _keep(self, end: Ints, top: Ints, a: Ints, runs: Ints | None, advancing: Bools, alive: Bools) -> None:
        """What the next batch must know."""
        s, state, time = self.segments, self.state, self.batch.time_ns
        for side in (0, 1):
            mine = self.second if side else ~self.second
            last = np.maximum.reduceat(np.where(mine, self.rows, -1), self.batch.starts)
            there = np.flatnonzero(last >= 0)
            rows = last[there]
            state["ack"][there, side] = a[rows]
            state["window"][there, side] = s.window[rows]
            state["last_ns"][there, side] = time[rows]
            state["value"][there, side] = s.stamps.value[rows]
            state["echoed"][there, side] = s.stamps.echoed[rows]
            state["alive"][there, side] = alive[rows]
            state["duplicates"][there, side] = runs[rows] if runs is not None else 0
            state["top"][there, side] = np.maximum(top[rows], np.where(self.rst[rows], 0, end[rows]))
            highest = np.maximum.reduceat(np.where(mine & advancing, self.rows, -1), self.batch.starts)
            moved = np.flatnonzero(highest >= 0)
            state["top_ns"][moved, side] = time[highest[moved]]
            state["parted"][moved, side] = self.parted[highest[moved]] if self.parted is not None else 0
        for name, values in state.items():
            self.tcp._ints[name][self.batch.flows] = values
