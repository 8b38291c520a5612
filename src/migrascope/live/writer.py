"""How fast the writer in a guest writes, by its own count: what is known of its dirty rate before rounds tell."""

from collections import deque
from typing import NamedTuple

WORK = "kind=memory"
LATELY_S = 1.5
"""How far back, by the guest's clock: it counts every 0.2 s, and not while it waits for its processor."""


class Writing(NamedTuple):
    """rate_Bps: bytes of pages a second. busy: the share of one processor that this took."""

    rate_Bps: float
    busy: float


class _Count(NamedTuple):
    guest_s: float
    done: int
    cpu_s: float


class Writer:
    """Of one guest. Take its rows of table stress as they come."""

    def __init__(self) -> None:
        self._counts: dict[int, deque[_Count]] = {}

    def take(self, worker: int, work: str, state: str, done: int, guest_s: float, cpu_s: float) -> None:
        """An answer of a worker: bytes that it has written by then, and its CPU time."""
        if WORK not in work.split() or state != "running":
            return
        counts = self._counts.setdefault(worker, deque())
        if not counts or guest_s > counts[-1].guest_s:
            counts.append(_Count(guest_s, done, cpu_s))
        while len(counts) > 2 and counts[1].guest_s <= guest_s - LATELY_S:
            counts.popleft()

    def lately(self) -> Writing | None:
        """What all its workers together do, as busy as the busiest; None where too little was counted."""
        found = [_writing(counts[0], counts[-1]) for counts in self._counts.values() if len(counts) > 1]
        if not found:
            return None
        return Writing(sum(each.rate_Bps for each in found), max(each.busy for each in found))


def _writing(old: _Count, new: _Count) -> Writing:
    took = new.guest_s - old.guest_s
    return Writing((new.done - old.done) / took, (new.cpu_s - old.cpu_s) / took)
