"""What was seen of a guest before its migration: what it holds and dirties by samples, and what its writer reaches."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from migrascope.live.experience import SPREAD, Known
from migrascope.live.terms import Terms
from migrascope.live.writer import Writer
from migrascope.mechanism.dirtying import Dirty, Dirtying
from migrascope.mechanism.sampled import dirtied, share_held, unheld

TABLES = ("sample", "stress", "guest_load")
STALE_NS = 2_000_000_000
"""Guests are asked for their load every second; what is older than the writer's count by so much is of other times."""


class _Load(NamedTuple):
    answered_ns: int
    uptime_s: float
    idle_s: float
    cpus: int


class Before:
    """Of one trial. Take the rows of these tables as they come; the writer counts on while the guest is migrated."""

    def __init__(self) -> None:
        self.writer = Writer()
        self._points: list[Dirty] = []
        self._share: float | None = None
        self._loads: deque[_Load] = deque(maxlen=2)
        self._counted_ns = 0

    def take(self, table: str, values: Sequence[Any]) -> None:
        """A row, in the order of the table's columns. Samples that failed tell nothing."""
        if table == "stress":
            _, self._counted_ns, worker, work, state, done, _, guest_s, cpu_s, _ = values
            self.writer.take(worker, work, state, done, guest_s, cpu_s)
        elif table == "guest_load":
            _, *load = values
            self._loads.append(_Load(*load))
        else:
            _, _, what, period_s, pages, answer, _ = values
            if answer and what == "dirty":
                self._points.append(dirtied(period_s, answer))
            elif answer and what == "held":
                self._share = share_held(pages, answer)

    def terms(self, planned: Terms) -> Terms:
        """How the migration is set, with what the guest dirties when it is asked for."""
        terms = planned.writing(self.writer.lately(), self._load())
        if not self._points:
            return terms
        writer = terms.writer
        # of what the plan's writer does more is known than samples show; they show what else is written to
        beside = [
            Dirty(point.period_s, max(0.0, point.dirty_bytes - writer.within(point.period_s)))
            for point in unheld(self._points)
        ]
        others = Dirtying.fitted(beside, max(0.0, planned.memory_bytes - writer.size))
        # a rate of 0 says that too few pages were looked at for what is written to
        return replace(terms, sampled=Dirtying((*writer.sets, *others.sets))) if others.sets else terms

    def _load(self) -> float | None:
        """The share of its processor that the guest took in the last second; None where that is not known, or it has
        several: which of them its writer is on does not show."""
        if len(self._loads) < 2:
            return None
        old, new = self._loads
        if new.cpus != 1 or new.uptime_s <= old.uptime_s or new.answered_ns < self._counted_ns - STALE_NS:
            return None
        return 1 - (new.idle_s - old.idle_s) / (new.uptime_s - old.uptime_s)

    def known(self, learnt: Known, planned: Terms) -> Known:
        """What earlier migrations told, with what this guest holds."""
        if self._share is None or not planned.memory_bytes:
            return learnt
        return replace(learnt, first_copy=self._share * planned.memory_bytes, spread=SPREAD)
