"""Sums by direction and window, gathered batch by batch, and a histogram of round trips by direction."""

from dataclasses import dataclass, field

import numpy as np

from migrascope.qos.flows import Batch
from migrascope.qos.match import Answers
from migrascope.qos.stretches import begins, in_order
from migrascope.store.pcap.frames import Ints

MOST_ROWS = 1 << 19
"""So many pairs of direction and window are kept; where there are more, windows become twice as long."""
COUNTS = (
    "packets", "bytes", "payload", "data", "again", "reordered", "gaps", "duplicates",
    "trips", "trip_sum_ns", "changes", "change_sum_ns", "asked", "lost",
    "streamed", "missed", "timed", "jitter_sum_ns",
)  # fmt: skip
_COLUMNS = (*COUNTS, "trip_max_ns")
_OPEN = 1 << 17
BINS_PER_OCTAVE = 32
_WINDOWS = 1 << 45
_FIRST = 1 << 44


Block = tuple[Ints, dict[str, Ints]]


@dataclass
class Tally:
    """window_ns: `fit` may double it. keys: direction (2 * flow + side) * 2^45 + window + 2^44. columns: by name a
    number for each key. Windows count from begin_ns, the stamp of the file's first packet: of what was stamped before
    it they are below 0."""

    window_ns: int
    begin_ns: int
    keys: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    columns: dict[str, Ints] = field(default_factory=lambda: {name: np.zeros(0, dtype=np.int64) for name in _COLUMNS})
    _waiting: list[Block] = field(default_factory=list)
    _held: int = 0
    _least: int = 0

    def window(self, time_ns: Ints) -> Ints:
        """The window of each stamp, as it is in a key."""
        return np.asarray((time_ns - self.begin_ns) // self.window_ns + _FIRST, dtype=np.int64)

    def add(self, keys: Ints, columns: dict[str, Ints]) -> None:
        """Adds rows; keys may repeat, columns that are left out are 0."""
        self._waiting.append((keys, columns))
        self._held += len(keys)
        if self._held > self._least + _OPEN:
            self._waiting = [_merged(self._waiting)]
            self._held = self._least = len(self._waiting[0][0])
            if self._held > len(self.keys) // 2:
                self.settle()

    def settle(self) -> None:
        """Brings every key to one row, in order."""
        if self._waiting:
            self.keys, found = _merged([(self.keys, self.columns), *self._waiting])
            self.columns = self.columns | found
            self._waiting.clear()
            self._held = self._least = 0

    def fit(self) -> None:
        """Makes the windows longer where there are too many. Between batches only: within one its keys are used."""
        if len(self.keys) + self._held > MOST_ROWS:
            self.settle()
        while len(self.keys) > MOST_ROWS:
            self.widen()

    def widen(self) -> None:
        """Makes the windows twice as long."""
        self.settle()
        self.window_ns *= 2
        direction, window = direction_and_window(self.keys)
        self.keys, self.columns = _merged([(key_of(direction, window // 2 + _FIRST), self.columns)])


def _merged(parts: list[Block]) -> Block:
    """One row for each key, in order, with every column that any part has."""
    keys = np.concatenate([keys for keys, _ in parts])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = begins(keys)
    found = {}
    for name in dict.fromkeys(name for _, columns in parts for name in columns):
        there = [columns[name] if name in columns else np.zeros(len(k), dtype=np.int64) for k, columns in parts]
        found[name] = reduced(name, np.concatenate(there)[order], starts)
    return keys[starts], found


def reduced(name: str, values: Ints, starts: Ints) -> Ints:
    """One number for each stretch of rows that belong together: their sum, or of a maximum the greatest."""
    reduce = np.maximum if name.endswith("max_ns") else np.add
    return np.asarray(reduce.reduceat(values, starts), dtype=np.int64)


class Cells:
    """The cells (flow, window, side) of one batch: each packet's cell, and sums over the packets of each."""

    def __init__(self, batch: Batch, tally: Tally) -> None:
        self._tally = tally
        window = tally.window(batch.time_ns)
        stretch = batch.group * _WINDOWS + window
        new = np.concatenate(([True], stretch[1:] != stretch[:-1]))
        number = np.cumsum(new) - 1
        self.of = number * 2 + batch.side
        first = np.flatnonzero(new)
        self.count = 2 * len(first)
        direction = batch.flows[batch.group[first]] * 2
        self.keys = (np.repeat(direction, 2) + np.tile([0, 1], len(first))) * _WINDOWS + np.repeat(window[first], 2)
        self.columns: dict[str, Ints] = {"packets": np.bincount(self.of, minlength=self.count)}

    def sum(self, name: str, values: Ints) -> None:
        self.columns[name] = np.bincount(self.of, values, self.count).astype(np.int64)

    def mark(self, name: str, rows: Ints) -> None:
        """Counts the packets in these rows."""
        if len(rows):
            self.columns[name] = np.bincount(self.of[rows], minlength=self.count)

    def close(self) -> None:
        """Hands them to the tally, but for those without a packet."""
        there = self.columns["packets"] > 0
        self._tally.add(self.keys[there], {name: values[there] for name, values in self.columns.items()})


class Trips:
    """Round trips by the direction of what was answered: in the tally by the window of the request, in a histogram
    over the whole capture, and how much each differs from the one before it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._last: Ints = np.zeros(0, dtype=np.int64)
        self._bins: list[tuple[Ints, Ints]] = []
        self._held = 0

    def add(self, direction: Ints, trips: Answers) -> None:
        """direction: of the request of each; those of one direction by time."""
        if not len(direction):
            return
        if int(direction.max()) >= len(self._last):
            more = max(int(direction.max()) + 1, 2 * len(self._last)) - len(self._last)
            self._last = np.concatenate((self._last, np.full(more, -1, dtype=np.int64)))
        order = in_order(direction)
        direction, after, asked = direction[order], trips.after_ns[order], trips.asked_ns[order]
        first = np.concatenate(([True], direction[1:] != direction[:-1]))
        before = np.where(first, self._last[direction], np.concatenate(([0], after[:-1])))
        change = np.where(before >= 0, np.abs(after - before), 0)
        last = np.flatnonzero(np.append(first[1:], True))
        self._last[direction[last]] = after[last]
        keys = direction * _WINDOWS + self._tally.window(asked)
        cells = begins(keys)
        columns = {
            "trip_sum_ns": after, "trip_max_ns": after,
            "changes": (before >= 0).astype(np.int64), "change_sum_ns": change,
        }  # fmt: skip
        sums = {name: reduced(name, values, cells) for name, values in columns.items()}
        self._tally.add(keys[cells], {"trips": np.diff(cells, append=len(keys)), **sums})
        bins = np.round(np.log2(np.maximum(after, 1)) * BINS_PER_OCTAVE).astype(np.int64)
        order = in_order(bins)
        names = (direction << 16 | bins)[order[in_order(direction[order])]]
        starts = begins(names)
        self._bins.append((names[starts], np.diff(starts, append=len(names))))
        self._held += len(self._bins[-1][0])
        if self._held > 2 * _OPEN and self._held > 2 * len(self._bins[0][0]):
            self._settle()

    def _settle(self) -> tuple[Ints, Ints]:
        if not self._bins:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        keys, counts = (np.concatenate([pair[at] for pair in self._bins]) for at in (0, 1))
        names, inverse = np.unique(keys, return_inverse=True)
        self._bins = [(names, np.bincount(inverse, counts).astype(np.int64))]
        self._held = len(names)
        return self._bins[0]

    def percentiles(self, ranks: tuple[float, ...]) -> dict[int, list[float]]:
        """By direction, s; exact to the width of a bin, a 32nd of an octave: within 1.1 %."""
        keys, counts = self._settle()
        if not len(keys):
            return {}
        direction, reached = keys >> 16, np.cumsum(counts)
        starts = begins(direction)
        ends = np.append(starts[1:], len(keys)) - 1
        before = reached[starts] - counts[starts]
        values = []
        for rank in ranks:
            at = np.searchsorted(reached, before + rank / 100 * (reached[ends] - before))
            values.append(2.0 ** ((keys[np.clip(at, starts, ends)] & 0xFFFF) / BINS_PER_OCTAVE) / 1e9)
        return dict(zip(direction[starts].tolist(), np.stack(values, axis=1).tolist(), strict=True))


def direction_and_window(keys: Ints) -> tuple[Ints, Ints]:
    """What a tally's keys stand for."""
    return keys // _WINDOWS, keys % _WINDOWS - _FIRST


def key_of(direction: Ints, window: Ints) -> Ints:
    """window: as a tally gives it."""
    return direction * _WINDOWS + window
