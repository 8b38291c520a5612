"""How a pre-copy goes on by QEMU's own rule, computed ahead: when its rounds end, and the pause after them.

When what is left of a round falls below what the link carries within the downtime limit, QEMU looks at the dirty bitmap
again; where the sum is still below that, it stops the guest and sends it; else it goes on, at least for one turn of its
loop (migration_iteration_run and ram_save_iterate in QEMU's migration/).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from migrascope.live.history import Turn
from migrascope.model.policy import AutoConverge

TURN_S = 0.05
"""QEMU sends for so long until it looks again (MAX_WAIT)."""
PERIOD_S = 1.0
"""QEMU judges whether to slow the guest over periods of at least so long."""
ZERO_BPS = 14e9
"""Bytes of empty memory that QEMU goes through in a second, as was seen; a GiB of it takes no longer than 10 MB of
data on a link of 1 Gbit/s."""
HELP_SHARE = 0.5
HELP_AFTER = 2
"""Auto-converge slows the guest after so many periods in which it dirtied more than that share of what was sent."""
_ROUNDS = 1000
_STEPS = 40
_FULL = 4.0
"""A set of which all but exp(-4) = 2 % is dirty counts as dirty as a whole."""


@dataclass(frozen=True)
class Dirtying:
    """What a guest dirties: rate_Bps from a clean beginning, in a working set of set_bytes (inf: always other
    memory)."""

    rate_Bps: float
    set_bytes: float = math.inf

    def within(self, seconds: float) -> float:
        """Bytes that are dirty so long after none was."""
        if math.isinf(self.set_bytes):
            return self.rate_Bps * seconds
        if self.set_bytes <= 0:
            return 0.0
        return self.set_bytes * -math.expm1(-self.rate_Bps * seconds / self.set_bytes)

    def added(self, seconds: float, left: float) -> float:
        """Bytes that a look at the bitmap adds to those that are left: what was dirty already counts once."""
        clean = (
            1.0 if math.isinf(self.set_bytes) else max(0.0, 1 - left / self.set_bytes) if self.set_bytes > 0 else 0.0
        )
        return self.within(seconds) * clean

    @classmethod
    def fitted(cls, turns: Sequence[Turn], set_bytes: float) -> "Dirtying":
        """The rate by which these rounds, one at least, together added what they did. A working set that was dirty as a
        whole says only that the rate is at least so high."""
        took = sum((1 - turn.throttle) * turn.took_s for turn in turns)
        dirtied = sum(turn.dirtied for turn in turns)
        if took <= 0:
            return cls(0.0, set_bytes)
        if math.isinf(set_bytes):
            return cls(dirtied / took)
        low, high = 0.0, _FULL * set_bytes / took * len(turns)
        for _ in range(_STEPS):
            rate = (low + high) / 2
            tried = cls(rate, set_bytes)
            added = sum(tried.added((1 - turn.throttle) * turn.took_s, turn.left) for turn in turns)
            low, high = (rate, high) if added < dirtied else (low, rate)
        return cls((low + high) / 2, set_bytes)

    def times(self, share: float) -> "Dirtying":
        """The same set, dirtied so many times as fast."""
        return replace(self, rate_Bps=share * self.rate_Bps)


@dataclass(frozen=True)
class Copy:
    """A running pre-copy.

    data, zeros: bytes still to be sent in this round that hold something, and nothing. round_s: how old the round is.
    speed_Bps: bytes of memory a second. threshold: bytes below which QEMU stops the guest. settle_s: from the end of
    sending to a guest that runs. throttle: share of the time for which the guest is held. turns_s: in so many seconds
    the guest is turned over to post-copy, or stopped; None: never. turns_round: the same, when so many more rounds are
    over.
    """

    data: float
    zeros: float
    round_s: float
    speed_Bps: float
    threshold: float
    settle_s: float
    dirtying: Dirtying
    throttle: float = 0.0
    slows: AutoConverge | None = None
    turns_s: float | None = None
    turns_round: int | None = None


def ends_in(copy: Copy, horizon_s: float) -> float | None:
    """Seconds until the guest runs at the destination and nothing is left to be sent; None where that is not within the
    horizon."""
    now, left, age, zeros = 0.0, copy.data, copy.round_s, copy.zeros
    throttle, high, period, sent_in_period, dirtied_in_period = copy.throttle, 0, 0.0, 0.0, 0.0
    for number in range(_ROUNDS):
        idle, send = zeros / ZERO_BPS, 0.0
        if left > copy.threshold:
            # a turn of the loop is whole, so that a round ends half of one late on average
            send = max(TURN_S, (left - copy.threshold) / copy.speed_Bps + TURN_S / 2)
        if copy.turns_s is not None and now + idle + send >= copy.turns_s:
            rest = left - copy.speed_Bps * max(0.0, copy.turns_s - now)
            added = copy.dirtying.added((1 - throttle) * (age + max(0.0, copy.turns_s - now)), max(0.0, rest))
            moved = (max(0.0, rest) + added) / copy.speed_Bps + zeros / ZERO_BPS
            return max(now, copy.turns_s) + moved + copy.settle_s
        before = left
        sent = min(left, copy.speed_Bps * send)
        send += idle
        now += send
        left -= sent
        zeros = 0.0
        added = copy.dirtying.added((1 - throttle) * (age + send), left)
        left += added
        if left < copy.threshold or (copy.turns_round is not None and number + 1 >= copy.turns_round):
            return now + left / copy.speed_Bps + copy.settle_s
        hopeless = number > 0 and left >= before and not _may_slow(copy, throttle) and copy.turns_s is None
        if now > horizon_s or (hopeless and copy.turns_round is None):
            return None  # each round is now as the one before
        period, sent_in_period, dirtied_in_period = (
            period + age + send,
            sent_in_period + sent,
            dirtied_in_period + added,
        )
        if copy.slows is not None and period >= PERIOD_S:
            high += dirtied_in_period > HELP_SHARE * sent_in_period
            if high >= HELP_AFTER:
                high, throttle = 0, slower(throttle, copy.slows)
            period = sent_in_period = dirtied_in_period = 0.0
        age = 0.0
    return None


def _may_slow(copy: Copy, throttle: float) -> bool:
    return copy.slows is not None and throttle < copy.slows.maximum / 100


def slower(throttle: float, slows: AutoConverge) -> float:
    """The next step of the throttle, a share."""
    first, step, most = slows.initial / 100, slows.increment / 100, slows.maximum / 100
    return min(most, throttle + step) if throttle else first
