"""Requests matched with their answers across batches, by a number that both carry."""

from dataclasses import dataclass

import numpy as np

from migrascope.qos.stretches import begins
from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import Bools

MOST_WAITING = 1 << 19


@dataclass(frozen=True, slots=True)
class Answers:
    """Matched pairs: row of the answer, ns since its request, and when that was."""

    row: Ints
    after_ns: Ints
    asked_ns: Ints


@dataclass(frozen=True, slots=True)
class Events:
    """Requests or answers: a number of 63 bits that both carry, their stamps, and their places in the file."""

    keys: Ints
    times: Ints
    places: Ints

    @classmethod
    def none(cls) -> "Events":
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, nothing)

    def __len__(self) -> int:
        return len(self.keys)

    def of(self, rows: "Ints | Bools") -> "Events":
        """Some of them, in that order."""
        return Events(self.keys[rows], self.times[rows], self.places[rows])

    def and_then(self, later: "Events") -> "Events":
        return Events(
            np.concatenate((self.keys, later.keys)),
            np.concatenate((self.times, later.times)),
            np.concatenate((self.places, later.places)),
        )


class Matcher:
    """Requests that wait for an answer. Everything goes by the order of the file, so that it makes no difference which
    packets come in one batch. Rising keys are matched fastest.

    patience_ns: how long a request waits. series_bits: requests whose keys are the same above these bits are answered
    in their order, so that one that was overtaken waits no more; None where each waits for itself. Of several requests
    that wait with one key the first is answered, or the newest, and each of them once.
    """

    def __init__(self, patience_ns: int, series_bits: int | None = None, *, newest: bool = False) -> None:
        self._patience_ns = patience_ns
        self._series_bits = series_bits
        self._newest = newest
        self.waiting = Events.none()

    def match(self, asks: Events, answers: Events, rows: Ints, void: Events) -> tuple[Answers, Events]:
        """(matched, requests given up now) with a batch's requests and answers, each in the order of the file for each
        key. rows: numbers of the answers. void: what makes the requests with its key that still wait ambiguous."""
        asks = self.waiting.and_then(asks)
        if not len(asks):
            nothing = np.zeros(0, dtype=np.int64)
            return Answers(nothing, nothing, nothing), Events.none()
        asks = asks.of(np.argsort(asks.keys, kind="stable"))
        at = np.minimum(np.searchsorted(asks.keys, answers.keys), len(asks) - 1)
        heard = np.flatnonzero(asks.keys[at] == answers.keys)
        heard = heard[np.argsort(answers.keys[heard], kind="stable")]
        asked, answered, gone = self._pairs(asks, answers, heard, at, void)
        after = answers.times[answered] - asks.times[asked]
        waiting = ~gone
        now = max(int(asks.times.max()), int(answers.times.max(initial=0)))
        late = waiting & (asks.times < now - self._patience_ns)
        if self._series_bits is not None and len(asked):
            series = asks.keys >> self._series_bits
            waiting &= ~_overtaken(series, asks.places, asked)
            kept = _in_their_order(series[asked], asks.places[asked], answers.places[answered])
        else:
            kept = np.argsort(answers.places[answered])
        kept = kept[after[kept] >= 0]
        found = Answers(rows[answered[kept]], after[kept], asks.times[asked[kept]])
        given_up = asks.of(late)
        self.waiting = asks.of(np.flatnonzero(waiting & ~late))
        if len(self.waiting) > MOST_WAITING:
            self.waiting = self.waiting.of(np.sort(np.argsort(self.waiting.places)[-MOST_WAITING:]))
        return found, given_up

    def _pairs(
        self, asks: Events, answers: Events, heard: Ints, places: Ints, void: Events
    ) -> tuple[Ints, Ints, Bools]:
        """(rows of requests, rows of their answers, which requests wait no more). asks by key; heard: rows of answers
        by key that have a request; places: of each answer where its key is among the requests first. A stamp before
        that of the request answers it too: the clock stepped back."""
        keys, heard_keys = asks.keys, answers.keys[heard]
        often = np.concatenate((_repeated(keys), _repeated(heard_keys), void.keys))
        gone = np.zeros(len(asks), dtype=np.bool_)
        if len(often):
            simple = heard[~np.isin(heard_keys, often)]
            in_turn = np.flatnonzero(np.isin(keys, often))
            chosen = heard[np.isin(heard_keys, often)]
            asked, answered, dropped = self._in_turn(asks, in_turn, answers, chosen, void)
            gone[dropped] = gone[asked] = True
        else:
            simple = heard
            asked = answered = np.zeros(0, dtype=np.int64)
        at = places[simple]
        good = (answers.places[simple] > asks.places[at]) & (
            answers.times[simple] - asks.times[at] <= self._patience_ns
        )
        at, simple = at[good], simple[good]
        gone[at] = True
        return np.concatenate((at, asked)), np.concatenate((simple, answered)), gone

    def _in_turn(
        self, asks: Events, asking: Ints, answers: Events, answering: Ints, void: Events
    ) -> tuple[Ints, Ints, Ints]:
        """The same for keys that come more than once, from one event to the next: (rows of requests, of their answers,
        of requests that are in vain)."""
        ask, answer, clear = range(3)
        events = asks.of(asking).and_then(answers.of(answering)).and_then(void)
        kinds = np.repeat([ask, answer, clear], [len(asking), len(answering), len(void)])
        rows = np.concatenate((asking, answering, np.zeros(len(void), dtype=np.int64)))
        order = np.lexsort((events.places, events.keys))
        pairs: list[tuple[int, int]] = []
        dropped: list[int] = []
        waiting: list[tuple[int, int]] = []
        last = -1
        for key, time, kind, row in zip(
            events.keys[order].tolist(), events.times[order].tolist(), kinds[order].tolist(), rows[order].tolist(),
            strict=True,
        ):  # fmt: skip
            if key != last:
                waiting, last = [], key
            if kind == ask:
                if waiting and not self._newest:
                    if time - waiting[-1][1] <= self._patience_ns:
                        dropped.append(row)
                        continue
                    dropped.append(waiting.pop()[0])
                waiting.append((row, time))
            elif kind == clear:
                dropped += [waits for waits, _ in waiting]
                waiting = []
            elif waiting and time - waiting[-1][1] <= self._patience_ns:
                pairs.append((waiting.pop()[0], row))
        found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1], np.array(dropped, dtype=np.int64)


def _repeated(keys: Ints) -> Ints:
    """Of sorted keys those that come more than once."""
    return np.asarray(keys[1:][keys[1:] == keys[:-1]], dtype=np.int64)


def _overtaken(series: Ints, places: Ints, answered: Ints) -> Bools:
    """Which of the requests, sorted by series, were asked before an answered one of their series."""
    last = np.full(len(series), -1, dtype=np.int64)
    last[answered] = places[answered]
    starts = begins(series)
    sizes = np.diff(starts, append=len(series))
    return np.asarray(places <= np.repeat(np.maximum.reduceat(last, starts), sizes), dtype=np.bool_)


def _in_their_order(series: Ints, asked: Ints, answered: Ints) -> Ints:
    """The rows by series and place of the answer, but for answers to a request that an answer before it has
    overtaken."""
    another = series[1:] != series[:-1]
    if (
        (series[1:] >= series[:-1]) & (another | (answered[1:] > answered[:-1]) & (asked[1:] > asked[:-1]))
    ).all():  # as nearly always
        return np.arange(len(series))
    order = np.lexsort((answered, series))
    series, asked = series[order], asked[order]
    starts = begins(series)
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(series)))
    most = int(asked.max(initial=0)) + 1
    highest = np.maximum.accumulate(group * most + asked)
    return np.asarray(order[highest == group * most + asked], dtype=np.int64)
