"""Requests and answers of the last minute, by the second in which each request was sent."""

import statistics

from migrascope.live.sample import NS
from migrascope.live.view import Second

WINDOW_S = 60
GRACE_NS = NS // 2
"""What is not answered so long after it was sent counts as lost, until its answer comes."""


class Seconds:
    """Counts them, each request by its number. Only the last WINDOW_S are kept."""

    def __init__(self) -> None:
        self._sent: dict[int, int] = {}
        self._asked: dict[int, int] = {}
        self._took: dict[int, list[float]] = {}
        self._open: dict[int, dict[int, None]] = {}
        self._newest = 0

    def ask(self, number: int, sent_ns: int) -> None:
        """A request. One that is older than what is kept is left out."""
        second = sent_ns // NS
        self._newest = max(self._newest, second)
        if second <= self._newest - WINDOW_S:
            return
        self._sent[number] = sent_ns
        self._asked[second] = self._asked.get(second, 0) + 1
        self._open.setdefault(second, {})[number] = None
        for old in [asked for asked in self._open if asked <= self._newest - WINDOW_S]:
            for gone in self._open.pop(old):
                self._sent.pop(gone, None)
            self._asked.pop(old, None)
            self._took.pop(old, None)

    def answer(self, number: int, at_ns: int) -> None:
        """Its answer. Of one that is not known nothing is kept."""
        sent_ns = self._sent.pop(number, None)
        if sent_ns is not None:
            second = sent_ns // NS
            self._open[second].pop(number, None)
            self._took.setdefault(second, []).append((at_ns - sent_ns) / NS)

    def seconds(self, now_ns: int) -> tuple[Second, ...]:
        """Those of the last WINDOW_S before now, the newest last; one without a request is there, too."""
        last = min(self._newest, now_ns // NS)
        first = max(min(self._asked, default=last + 1), now_ns // NS - WINDOW_S + 1)
        return tuple(self._second(second, now_ns) for second in range(first, last + 1))

    def _second(self, second: int, now_ns: int) -> Second:
        took = self._took.get(second)
        lost = sum(self._sent[number] <= now_ns - GRACE_NS for number in self._open.get(second, ()))
        return Second(second * NS, self._asked.get(second, 0), lost, statistics.median(took) if took else None)
