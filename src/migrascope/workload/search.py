"""How many visits a guest bears: the search, as a generator that asks for rates and is sent what came of them."""

import math
import statistics
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from migrascope.model.load import LEAST_RATE, PROCESSOR_SHARE, Tried
from migrascope.model.steady import IN_TIME_SHARE

MOST_STEPS = 6
"""Maximum number of rates that are tried."""
LEAST_TIMES = 6
"""How often the least rate is tried: a guest that has just booted, or a machine, may have other work for a while."""
_AIM = 0.95
"""The part of what would be allowed that is tried next: a rate above it would have to be given up again."""
_CLOSE = 0.85
_CLEAR = 0.7
"""The most of the least rate that was answered late: other work on the machine makes visits late without a guest that
uses more of its core, and a migration makes the guest slower."""
_GROW = 4.0
"""The most by which a rate is raised at once: a guest that is asked for far too much takes long to recover."""


@dataclass(frozen=True)
class Borne:
    """What a guest bears. rate: visits a second of each kind, 0 where even the least was too much. busy: the share of
    one core that it used then. serves: the rate at which that would be a whole core, or the least that was answered
    late; None where too little is known."""

    rate: float
    busy: float | None
    serves: float | None


def search(most: float) -> Generator[float, Tried, None]:
    """Asks for rates from LEAST_RATE to `most`; each is answered by what came of it. The least may be asked for again.

    It ends when it is known what the guest bears.
    """
    rate = min(LEAST_RATE, most)
    for _ in range(LEAST_TIMES):
        first = yield rate
        if borne(first):
            break
    tried = [first]
    while len(tried) < MOST_STEPS and (wanted := _next(tried, most)) is not None:
        rate = wanted if wanted == most else max(math.floor(wanted), LEAST_RATE)
        if any(attempt.rate == rate for attempt in tried):
            return
        tried.append((yield rate))


def conclude(tried: Sequence[Tried]) -> Borne:
    """The highest rate that was tried and borne: its visits were answered in time, the guest used no more than
    PROCESSOR_SHARE of a core; less where that is close to a rate that was answered late. Of a rate that was tried again
    the last attempt counts."""
    tried = list({attempt.rate: attempt for attempt in tried}.values())
    late = [attempt.rate for attempt in tried if attempt.in_time < IN_TIME_SHARE]
    best = max((attempt for attempt in tried if borne(attempt)), key=lambda attempt: attempt.rate, default=None)
    full = _rate_at(tried, 1.0)
    serves = full if full is None else min([full, *late])
    if best is None:
        return Borne(0.0, None, serves)
    clear = _CLEAR * min(late, default=math.inf)
    rate = best.rate if best.rate <= clear else max(math.floor(clear), min(LEAST_RATE, best.rate))
    return Borne(rate, best.busy, serves)


def borne(tried: Tried) -> bool:
    """Whether the guest bore a rate, with room for what a migration asks of it."""
    return tried.in_time >= IN_TIME_SHARE and tried.busy is not None and tried.busy <= PROCESSOR_SHARE


def _next(tried: list[Tried], most: float) -> float | None:
    """The rate to try next, None where another would tell nothing new."""
    low = max((attempt.rate for attempt in tried if borne(attempt)), default=0.0)
    high = min((attempt.rate for attempt in tried if not borne(attempt)), default=None)
    if low >= most or not low:
        return None
    allowed = _rate_at(tried, PROCESSOR_SHARE)
    aim = most if allowed is None else min(most, _AIM * allowed)
    if high is None:
        if allowed is not None and aim < most and low >= _CLOSE * allowed:
            return None
        return min(most, max(1.5 * low, min(aim, _GROW * low)))
    if high <= low / _CLOSE:
        return None
    return aim if low / _CLOSE < aim < _AIM * high else (low + high) / 2


def _rate_at(tried: Sequence[Tried], busy: float) -> float | None:
    """The rate at which the guest would use that share of a core, from the line through what was tried."""
    known = [
        (attempt.rate, attempt.busy)
        for attempt in tried
        if attempt.busy is not None and attempt.in_time >= IN_TIME_SHARE
    ]
    if len(known) < 2:
        return None
    try:
        each, base = statistics.linear_regression(*zip(*known, strict=True))
    except statistics.StatisticsError:  # one rate alone was tried
        return None
    return (busy - base) / each if each > 0 else None
