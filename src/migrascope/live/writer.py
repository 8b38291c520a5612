"""How fast the writer in a guest writes, by its own count: what is known of its dirty rate before rounds tell."""

from collections import deque

WORK = "kind=memory"
LATELY_S = 1.5
"""How far back, by the guest's clock: it counts every 0.2 s, and not while it waits for its processor."""


class Writer:
    """Of one guest. Take its rows of table stress as they come."""

    def __init__(self) -> None:
        self._counts: dict[int, deque[tuple[float, int]]] = {}

    def take(self, worker: int, work: str, state: str, done: int, guest_s: float) -> None:
        """An answer of a worker: bytes that it has written by then."""
        if WORK not in work.split() or state != "running":
            return
        counts = self._counts.setdefault(worker, deque())
        if not counts or guest_s > counts[-1][0]:
            counts.append((guest_s, done))
        while len(counts) > 2 and counts[1][0] <= guest_s - LATELY_S:
            counts.popleft()

    def rate_Bps(self) -> float | None:
        """Bytes of pages a second, lately, of all its workers together; None where too little was counted."""
        rates = [_rate(counts) for counts in self._counts.values() if len(counts) > 1]
        return sum(rates) if rates else None


def _rate(counts: deque[tuple[float, int]]) -> float:
    (began_s, before), (ended_s, after) = counts[0], counts[-1]
    return (after - before) / (ended_s - began_s)
