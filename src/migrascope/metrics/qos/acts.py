"""What TCP flows did when: segments sent again, waits between them, resets."""

from dataclasses import dataclass

import numpy as np

from migrascope.store.pcap.frames import Ints

MOST = 1 << 18
AFTER_NS = 1_000_000_000
_AGAIN, _RESET = 0, 1


@dataclass(frozen=True, slots=True)
class Act:
    """Of one flow in some stretch: segments sent again, the longest wait between two of one side (s; None of fewer than
    two), and whether it was reset."""

    sent_again: int
    longest_wait_s: float | None
    reset: bool

    @property
    def anything(self) -> bool:
        return self.sent_again > 0 or self.reset


class Acts:
    """The segments sent again and resets of a capture. left_out: those beyond the most that are kept."""

    def __init__(self) -> None:
        self._parts: list[Ints] = []
        self._kept = self.left_out = 0
        self._all: Ints = np.zeros((0, 3), dtype=np.int64)

    def add(self, direction: Ints, time_ns: Ints, again: Ints, resets: Ints) -> None:
        """again, resets: rows of each."""
        for kind, rows in ((_AGAIN, again), (_RESET, resets)):
            kept = rows[: max(0, MOST - self._kept)]
            self.left_out += len(rows) - len(kept)
            self._kept += len(kept)
            if len(kept):
                self._parts.append(np.stack((direction[kept], time_ns[kept], np.full(len(kept), kind)), axis=1))

    def between(self, begin_ns: int, end_ns: int) -> set[int]:
        """The flows that did anything from a silence's begin until 1 s after its end."""
        self._settle()
        rows = (self._all[:, 1] >= begin_ns) & (self._all[:, 1] <= end_ns + AFTER_NS)
        return set(np.unique(self._all[rows, 0] >> 1).tolist())

    def _settle(self) -> None:
        if self._parts:
            rows = np.concatenate((self._all, *self._parts))
            self._all = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
            self._parts.clear()

    def of(self, flow: int, begin_ns: int, end_ns: int) -> Act:
        """Of a flow from a silence's begin until 1 s after its end."""
        self._settle()
        begin, end = np.searchsorted(self._all[:, 0], (2 * flow, 2 * flow + 2))
        rows = self._all[begin:end]
        rows = rows[(rows[:, 1] >= begin_ns) & (rows[:, 1] <= end_ns + AFTER_NS)]
        again = rows[rows[:, 2] == _AGAIN]
        waits = np.diff(again[:, 1])[np.diff(again[:, 0]) == 0]
        longest = float(waits.max()) / 1e9 if len(waits) else None
        return Act(len(again), longest, bool((rows[:, 2] == _RESET).any()))
