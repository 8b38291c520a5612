"""What QEMU goes by when it copies a guest that runs: its numbers, and when it slows the guest.

Sources: migration/migration.c, migration/ram.c and migration/cpu-throttle.c of QEMU 10.
"""

from dataclasses import dataclass
from typing import NamedTuple

from migrascope.model.policy import AutoConverge, Moment

PAGE = 4096
HEADER = 8
"""Bytes before each page on the link; of an empty page one more follows, and that is all."""
TURN_S = 0.05
"""QEMU sends for so long until it looks whether few enough are left (MAX_WAIT)."""
COUNTED_S = 0.1
"""The rate is counted over so long; before, nothing fits into any limit (BUFFER_DELAY)."""
PERIOD_S = 1.0
"""Looks at the bitmap after more than so long judge whether the guest is slowed."""
HELP_SHARE, HELP_AFTER = 0.5, 2
"""It is, after so many in which more than that share of what was sent became dirty (throttle-trigger-threshold)."""
TICK_S = 5.0
"""A guest that may be slowed is looked at so often, within a round too (CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS)."""
EMPTY_BPS = 14e9
"""Bytes of empty memory that QEMU goes through in a second, as was seen under TCG; a GiB of it takes no longer than
10 MB of data on a link of 1 Gbit/s."""
TOP_SHARE, TOP_BYTES = 1 / 64, 6.6e6
"""What Linux takes from the top of memory when it boots, which is behind all that stays empty: 64 bytes to describe
each page, and the rest, as was seen: its first file system, its tables. Of guests of 512 MiB that held 104 to 262 MB,
14.9 to 15.0 MB were left when the empty memory was over."""
PAYLOAD = 1448 / 1514
"""Share of an Ethernet frame that TCP has for data."""
HORIZON_S = 3600.0
"""An end that is further away is none."""


@dataclass(frozen=True)
class Step:
    """From at_s after the request on, the downtime limit is limit_s."""

    at_s: float
    limit_s: float


@dataclass(frozen=True)
class Rules:
    """How a migration is set, as far as its course depends on it. limits: the downtime limit in its steps, the first at
    0 s. deadline_s: when it is cancelled. slows: auto-converge. turns, paused: when the guest is turned over to
    post-copy, or stopped; seconds since the request."""

    limits: tuple[Step, ...]
    deadline_s: float = HORIZON_S
    slows: AutoConverge | None = None
    turns: Moment | None = None
    paused: Moment | None = None

    def limit_at(self, at_s: float) -> float:
        """The downtime limit that is then in force."""
        limit_s = self.limits[0].limit_s
        for step in self.limits[1:]:
            if step.at_s <= at_s:
                limit_s = step.limit_s
        return limit_s

    def may_change(self, throttle: float) -> bool:
        """Whether something may be to come that rounds with this throttle do not show, its limits apart."""
        slower = self.slows is not None and throttle < self.slows.maximum / 100
        return slower or self.turns is not None or self.paused is not None


class Judge(NamedTuple):
    """What QEMU keeps in mind from one look at the dirty bitmap to the next, to slow the guest.

    since_s: when its period began. sent, dirtied: bytes within it, on the link and of pages that became dirty. high:
    how many periods dirtied too much since it last slowed the guest. throttle: the share of the time for which the
    guest is held.
    """

    since_s: float
    sent: float = 0.0
    dirtied: float = 0.0
    high: int = 0
    throttle: float = 0.0

    def looked(self, at_s: float, sent: float, dirtied: float, slows: AutoConverge | None) -> "Judge":
        """After a look at at_s that added so many bytes to each."""
        sent, dirtied = self.sent + sent, self.dirtied + dirtied
        if at_s <= self.since_s + PERIOD_S:
            return Judge(self.since_s, sent, dirtied, self.high, self.throttle)
        high, throttle = self.high + (dirtied > HELP_SHARE * sent), self.throttle
        if high >= HELP_AFTER:
            high, throttle = 0, slowed(throttle, slows)
        return Judge(at_s, 0.0, 0.0, high, throttle)


def pace(throttle: float, busy: float) -> float:
    """The share of what it wants to do that a guest does which is held for so large a share of the time. busy: the
    share of its processor that it needs for that; what it has to spare it loses first."""
    return min(1.0, (1 - throttle) / busy)


def slowed(throttle: float, slows: AutoConverge | None) -> float:
    """The next step of the throttle, a share; the same without auto-converge."""
    if slows is None:
        return throttle
    return min(slows.maximum, 100 * throttle + slows.increment if throttle else slows.initial) / 100
