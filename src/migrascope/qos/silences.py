"""When who sends regularly was silent, and for how long.

An interval between two packets is a silence where it is at least four times as long as all of the last ten before it
but the longest, of three at least; of fewer than ten it is more than twice the longest, too: bursts begin so. Who is
often silent for as long was not regular.
"""

from dataclasses import dataclass

import numpy as np

from migrascope.qos.stretches import begins, stretches
from migrascope.store.pcap.frames import Ints

LOOK_BACK, FEWEST = 10, 3
TIMES = 4
OFTEN = 5
"""One who has more than so many silences of half the length or more is not regular."""
_MOST_KEPT = 1 << 17
_KEPT_EACH = 2 * OFTEN + 2
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Silence:
    """From the last packet before it (ns since 1970) to the first behind it; usual_ns: the median interval before. What
    was missing took between low_ns and length_ns: two intervals less, and all of it. open: nothing came until the
    capture ended."""

    begin_ns: int
    length_ns: int
    usual_ns: int
    open: bool = False

    @property
    def low_ns(self) -> int:
        return max(0, self.length_ns - 2 * self.usual_ns)


class Silences:
    """The longest silences of many senders, each known by a number from 0 on. least_ns: shorter ones are not kept."""

    def __init__(self, least_ns: int) -> None:
        self._least_ns = least_ns
        self._last_ns: Ints = np.zeros(0, dtype=np.int64)
        self._intervals: Ints = np.zeros((0, LOOK_BACK), dtype=np.int64)
        self._known: Ints = np.zeros(0, dtype=np.int64)
        self._found: list[Ints] = []
        self._held = 0

    def add(self, senders: Ints, time_ns: Ints) -> None:
        """Packets of a batch by sender, those of each in the order of the file."""
        starts = begins(senders)
        who = senders[starts]
        self._grow(int(who[-1]) + 1)
        sizes = np.diff(starts, append=len(senders))
        before = np.empty_like(time_ns)
        before[1:] = time_ns[:-1]
        before[starts] = self._last_ns[who]
        interval = np.maximum(0, time_ns - before)
        interval[starts[self._known[who] == 0]] = _UNKNOWN
        rows = np.flatnonzero(interval >= self._least_ns)
        if len(rows):
            self._judge(rows, senders, interval, before, np.repeat(starts, sizes))
        self._last_ns[who] = time_ns[starts + sizes - 1]
        self._known[who] += sizes
        # the newest first; of a sender with few packets here the older ones move on
        at = np.arange(LOOK_BACK)
        newest = interval[np.maximum((starts + sizes - 1)[:, None] - at, 0)]
        few = np.flatnonzero(sizes < LOOK_BACK)
        if len(few):
            older = at - sizes[few, None]
            kept = self._intervals[who[few, None], np.maximum(older, 0)]
            newest[few] = np.where(older < 0, newest[few], kept)
        self._intervals[who] = newest

    def _grow(self, need: int) -> None:
        if need > len(self._last_ns):
            more = max(need, 2 * len(self._last_ns)) - len(self._last_ns)
            self._last_ns = np.concatenate((self._last_ns, np.zeros(more, dtype=np.int64)))
            self._known = np.concatenate((self._known, np.zeros(more, dtype=np.int64)))
            self._intervals = np.concatenate((self._intervals, np.full((more, LOOK_BACK), _UNKNOWN, dtype=np.int64)))

    def _judge(self, rows: Ints, senders: Ints, interval: Ints, before: Ints, starts: Ints) -> None:
        inside = rows - starts[rows]
        earlier = np.stack(
            [
                np.where(
                    inside >= at,
                    interval[np.maximum(rows - at, 0)],
                    self._intervals[senders[rows], np.clip(at - 1 - inside, 0, LOOK_BACK - 1)],
                )
                for at in range(1, LOOK_BACK + 1)
            ],
            axis=1,
        )
        usual, regular = _regular(earlier, interval[rows])
        found = np.stack((senders[rows], before[rows], interval[rows], usual), axis=1)[regular]
        if len(found):
            self._found.append(found)
            self._held += len(found)
            if self._held > _MOST_KEPT:
                self._found = [_longest(np.concatenate(self._found))]
                self._held = len(self._found[0]) if len(self._found[0]) < _MOST_KEPT // 2 else 0

    def longest(self, most: int, end_ns: int | None = None) -> dict[int, list[Silence]]:
        """By sender the longest silences, the longest first. end_ns: of the capture, for those that are silent until
        then; None leaves these out."""
        found: dict[int, list[Silence]] = {}
        parts = [*self._found]
        still: set[tuple[int, int]] = set()
        if end_ns is not None:
            length = np.where(self._known > 0, end_ns - self._last_ns, 0)
            rows = np.flatnonzero(length >= max(1, self._least_ns))
            usual, regular = _regular(self._intervals[rows], length[rows])
            parts.append(np.stack((rows, self._last_ns[rows], length[rows], usual), axis=1)[regular])
            still = {(int(row[0]), int(row[1])) for row in parts[-1]}
        if not parts:
            return found
        everything = _longest(np.concatenate(parts))
        for begin, end in stretches(everything[:, 0]):
            mine = everything[begin:end].tolist()
            kept = [
                Silence(at, length, usual, (who, at) in still)
                for who, at, length, usual in mine
                if sum(2 * other >= length for _, _, other, _ in mine) <= OFTEN
            ]
            if kept:
                found[mine[0][0]] = kept[:most]
        return found


def _regular(earlier: Ints, interval: Ints) -> tuple[Ints, "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"]:
    """(median of the earlier intervals of each, whether the interval is a silence behind them)."""
    ordered = np.sort(earlier, axis=1)
    known = (ordered != _UNKNOWN).sum(axis=1)
    rows = np.arange(len(ordered))
    median = ordered[rows, np.minimum(LOOK_BACK - (known + 1) // 2, LOOK_BACK - 1)]
    silent = (known >= FEWEST) & (interval >= TIMES * np.maximum(1, ordered[:, LOOK_BACK - 2]))
    return median, silent & ((known == LOOK_BACK) | (interval > 2 * ordered[:, LOOK_BACK - 1]))


def _longest(rows: Ints) -> Ints:
    """Of each sender the longest few, in that order."""
    rows = rows[np.lexsort((rows[:, 1], -rows[:, 2], rows[:, 0]))]
    starts = begins(rows[:, 0])
    place = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    return rows[place < _KEPT_EACH]
