"""Requests matched with their answers across batches, by a number that both carry."""

from dataclasses import dataclass

import numpy as np

from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import Bools

MOST_WAITING = 1 << 19


@dataclass(frozen=True, slots=True)
class Answers:
    """Matched pairs: row of the answer, ns since its request, and when that was."""

    row: Ints
    after_ns: Ints
    asked_ns: Ints


class Matcher:
    """Requests that wait for an answer. Keys are numbers of 63 bits; rising ones are matched fastest. Of several
    requests with one key the first counts, of several answers too.

    patience_ns: how long a request waits. series_bits: requests whose keys are the same above these bits are answered
    in their order, so that one that was overtaken waits no more; None where each waits for itself.
    """

    def __init__(self, patience_ns: int, series_bits: int | None = None) -> None:
        self._patience_ns = patience_ns
        self._series_bits = series_bits
        self.keys: Ints = np.zeros(0, dtype=np.int64)
        self.times: Ints = np.zeros(0, dtype=np.int64)

    def match(
        self, keys: Ints, times: Ints, answer_keys: Ints, answer_times: Ints, rows: Ints, void: Ints
    ) -> tuple[Answers, Ints, Ints]:
        """(matched, keys and times of the requests given up now) with a batch's requests and answers, both by time for
        each key. rows: numbers of the answers. void: keys whose requests are ambiguous and wait no more."""
        keys, times = np.concatenate((self.keys, keys)), np.concatenate((self.times, times))
        if not len(keys):
            nothing = np.zeros(0, dtype=np.int64)
            return Answers(nothing, nothing, nothing), nothing, nothing
        order = np.argsort(keys, kind="stable")
        keys, times = _first(keys[order], times[order])
        if len(void):
            kept = ~np.isin(keys, void)
            keys, times = keys[kept], times[kept]
        order = np.argsort(answer_keys, kind="stable")
        answers, places = _first(answer_keys[order], order)
        at = np.minimum(np.searchsorted(keys, answers), max(0, len(keys) - 1))
        hit = keys[at] == answers if len(keys) else np.zeros(len(answers), dtype=np.bool_)
        at, places = at[hit], places[hit]
        after = answer_times[places] - times[at]
        good = after >= 0
        at, places, after = at[good], places[good], after[good]
        found = Answers(rows[places], after, times[at])
        waiting = np.ones(len(keys), dtype=np.bool_)
        waiting[at] = False
        now = max(int(times.max(initial=0)), int(answer_times.max(initial=0)))
        late = waiting & (times < now - self._patience_ns)
        if self._series_bits is not None and len(at):
            waiting &= ~_overtaken(keys >> self._series_bits, at)
        self.keys, self.times = keys[waiting & ~late], times[waiting & ~late]
        if len(self.keys) > MOST_WAITING:
            newest = np.argsort(self.times)[-MOST_WAITING:]
            self.keys, self.times = self.keys[newest], self.times[newest]
        return found, keys[late], times[late]


def _overtaken(series: Ints, answered: Ints) -> Bools:
    """Which of the requests, in order of their keys, stand before an answered one of their series."""
    places = np.full(len(series), -1, dtype=np.int64)
    places[answered] = answered
    starts = np.flatnonzero(np.diff(series, prepend=-1))
    last = np.maximum.reduceat(places, starts)
    sizes = np.diff(starts, append=len(series))
    return np.asarray(np.arange(len(series)) <= np.repeat(last, sizes), dtype=np.bool_)


def _first(keys: Ints, values: Ints) -> tuple[Ints, Ints]:
    """Of sorted keys with their values the first of each."""
    new = np.concatenate(([True], keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, dtype=np.bool_)
    return keys[new], values[new]
