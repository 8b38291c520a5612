"""What flows did when, and what was done to them: segments sent again, waits between them, resets, refusals."""

from dataclasses import dataclass

import numpy as np

from migrascope.qos.flows import Batch
from migrascope.store.pcap.frames import Ints

MOST = 1 << 18
AFTER_NS = 1_000_000_000
_AGAIN, _RESET, _REFUSED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Act:
    """Of one flow in some stretch: segments sent again, the longest wait between two of one side (s; None of fewer than
    two), whether it was reset, and by what is said (see Refusals) how often and when first (ns) it was refused."""

    sent_again: int
    longest_wait_s: float | None
    reset: bool
    refused: dict[int, tuple[int, int]]

    @property
    def anything(self) -> bool:
        return self.sent_again > 0 or self.reset or len(self.refused) > 0


class Acts:
    """The segments sent again, resets and refusals of a capture. left_out: those beyond the most that are kept."""

    def __init__(self) -> None:
        self._parts: list[Ints] = []
        self._kept = self.left_out = 0
        self._all: Ints = np.zeros((0, 3), dtype=np.int64)

    def add(self, batch: Batch, again: Ints, resets: Ints) -> None:
        """again, resets: rows of each."""
        for kind, rows in ((_AGAIN, again), (_RESET, resets)):
            self._keep(batch.direction(rows), batch.time_ns[rows], np.full(len(rows), kind))

    def refused(self, direction: Ints, time_ns: Ints, words: Ints) -> None:
        """words: numbers of what was said."""
        self._keep(direction, time_ns, _REFUSED + words)

    def _keep(self, direction: Ints, time_ns: Ints, kind: Ints) -> None:
        room = max(0, MOST - self._kept)
        self.left_out += max(0, len(kind) - room)
        self._kept += min(len(kind), room)
        if room and len(kind):
            self._parts.append(np.stack((direction[:room], time_ns[:room], kind[:room]), axis=1))

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
        told = rows[rows[:, 2] >= _REFUSED]
        told = told[np.argsort(told[:, 1], kind="stable")]
        words, firsts, counts = np.unique(told[:, 2] - _REFUSED, return_index=True, return_counts=True)
        refused = dict(zip(words.tolist(), zip(counts.tolist(), told[firsts, 1].tolist(), strict=True), strict=True))
        return Act(len(again), longest, bool((rows[:, 2] == _RESET).any()), refused)
