"""What a guest dirties, by the rounds of its migration."""

import math
from collections.abc import Sequence

from migrascope.live.history import Turn
from migrascope.mechanism.dirtying import Dirtying, WorkingSet
from migrascope.mechanism.rules import pace

_FULL = 4.0
"""A set of which all but exp(-4) = 2 % is dirty counts as dirty as a whole."""
_STEPS = 60


def fitted(turns: Sequence[Turn], shape: Dirtying, busy: float) -> Dirtying:
    """Working sets as these, dirtied so many times as fast that rounds, one at least, together add what they did, of a
    guest that is not held. Sets that were dirty as a whole say only that it is at least so fast. busy: the share of its
    processor that the guest needs for it."""
    ran = [(pace(turn.throttle, busy) * turn.took_s, turn) for turn in turns]
    took = sum(seconds for seconds, _ in ran)
    if took <= 0 or not shape.sets:
        return Dirtying()
    dirtied = sum(turn.dirtied for turn in turns)
    low, high = 0.0, _FULL * len(turns) / took * max(each.size / each.rate_Bps for each in shape.sets)
    for _ in range(_STEPS):
        times = (low + high) / 2
        added = sum(_clean(turn, shape) * shape.within(times * seconds) for seconds, turn in ran)
        low, high = (times, high) if added < dirtied else (low, times)
    return shape.times((low + high) / 2)


def grown(turns: Sequence[Turn], shape: Dirtying, busy: float) -> Dirtying:
    """Working sets as these, so many times as large, and dirtied as much faster, that these rounds together added what
    they did: of sets whose sizes are known from samples alone, which may be too small for that at any rate."""
    added = sum(_clean(turn, shape) * shape.within(pace(turn.throttle, busy) * turn.took_s) for turn in turns)
    if added <= 0:
        return shape
    times = sum(turn.dirtied for turn in turns) / added
    return Dirtying(tuple(WorkingSet(times * each.size, times * each.rate_Bps) for each in shape.sets if times > 0))


def scatter(turns: Sequence[Turn], shape: Dirtying, busy: float) -> float:
    """How far from what these sets add the rounds after the first copy lay, as a share of it: the root of the mean
    square, in which a round counts by its bytes. 0 where fewer than two tell."""
    if not shape.sets:
        return 0.0
    added = [
        (_clean(turn, shape) * shape.within(pace(turn.throttle, busy) * turn.took_s), turn.dirtied)
        for turn in turns
        if not turn.held
    ]
    telling = [(expected, found) for expected, found in added if expected > 0]
    if len(telling) < 2:
        return 0.0
    squares = sum((found - expected) ** 2 / expected for expected, found in telling)
    return math.sqrt(squares / sum(expected for expected, _ in telling))


def _clean(turn: Turn, shape: Dirtying) -> float:
    """The share of them that was clean when the round was over."""
    return max(0.0, 1 - turn.left / (turn.held or shape.size))
