"""What a guest dirties, by the rounds of its migration."""

from collections.abc import Sequence

from migrascope.live.history import Turn
from migrascope.mechanism.dirtying import WorkingSet
from migrascope.mechanism.rules import pace

_FULL = 4.0
"""A set of which all but exp(-4) = 2 % is dirty counts as dirty as a whole."""
_STEPS = 40


def fitted(turns: Sequence[Turn], size: float, busy: float) -> WorkingSet:
    """A working set of that many bytes, at the rate by which these rounds, one at least, together added what they did:
    that of a guest that is not held. One that was dirty as a whole says only that the rate is at least so high. busy:
    the share of its processor that the guest needs for it."""
    ran = [(pace(turn.throttle, busy) * turn.took_s, max(0.0, size - turn.left)) for turn in turns]
    took = sum(seconds for seconds, _ in ran)
    dirtied = sum(turn.dirtied for turn in turns)
    low, high = 0.0, _FULL * size / took * len(turns) if took > 0 else 0.0
    for _ in range(_STEPS):
        tried = WorkingSet(size, (low + high) / 2)
        added = sum(clean * tried.share_within(seconds) for seconds, clean in ran)
        low, high = (tried.rate_Bps, high) if added < dirtied else (low, tried.rate_Bps)
    return WorkingSet(size, (low + high) / 2)
