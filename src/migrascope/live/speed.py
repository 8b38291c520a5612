"""How memory goes over from now on: as it did lately, and as it does for such memory in earlier migrations."""

from typing import NamedTuple

from migrascope.live.experience import SPREAD, Known
from migrascope.live.history import History
from migrascope.live.passage import Moved, again, ahead, slower
from migrascope.live.sample import POST_COPY
from migrascope.live.terms import Terms
from migrascope.mechanism.copying import Way
from migrascope.mechanism.rules import PAYLOAD


class Ways(NamedTuple):
    """rest: how what is left of this round goes; again: how a page goes that is sent once more."""

    rest: Way
    again: Way

    @property
    def speed_Bps(self) -> float:
        """Bytes of memory a second, of what is left."""
        return 1 / self.rest.cost_s

    def faster(self, times: float) -> "Ways":
        return Ways(*(way._replace(cost_s=way.cost_s / times, bound_s=way.bound_s / times) for way in self))


def ways(history: History, terms: Terms, known: Known) -> Ways | None:
    """Of a migration under way; None where no memory has gone over yet. Of post-copy only what was seen after the
    switch says how it goes: single pages may take longer than a stream."""
    if known.passages and history.last.state not in POST_COPY:
        times = slower(known.passages, history.looks(), history.learnt_s())
        return _as_before(known, terms, times, history.last.sent, history.rounds)
    speed, link = history.speed_Bps(known.speed_Bps), history.link_Bps()
    if not speed:
        return None
    way = _within(Way((link or speed) / speed, 1 / speed), terms)
    return Ways(way, way)


def expected_ways(terms: Terms, known: Known) -> Ways | None:
    """Of one that has not begun; None where nothing is known."""
    if known.passages:
        return _as_before(known, terms, 1.0, 0, 1)
    if not known.speed_Bps:
        return None
    way = _bound(Way(1.0, 1 / known.speed_Bps), terms)
    return Ways(way, way)


def _as_before(known: Known, terms: Terms, times: float, dealt: int, rounds: int) -> Ways:
    """As such memory went in those migrations, so many times as slowly."""
    rest = ahead(known.passages, dealt, rounds)

    def way(moved: Moved) -> Way:
        return _within(Way(moved.link / moved.data, times * moved.took_s / moved.data), terms)

    return Ways(way(rest), way(again(known.passages) or rest))


def _within(way: Way, terms: Terms) -> Way:
    """What seems to go over faster than the link is fills its buffers."""
    if terms.link_Bps is None:
        return way
    return _bound(way._replace(cost_s=max(way.cost_s, way.wire / (PAYLOAD * terms.link_Bps))), terms)


def _bound(way: Way, terms: Terms) -> Way:
    """What goes as fast as the policy lets it goes as fast as the link carries once the guest stands. What is slower is
    held by something else."""
    if terms.link_Bps is None or terms.bound_Bps is None or way.cost_s * terms.bound_Bps > (1 + SPREAD) * way.wire:
        return way
    return way._replace(bound_s=max(0.0, way.cost_s - way.wire / (PAYLOAD * terms.link_Bps)))
