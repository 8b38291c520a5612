"""Silences between the arrivals of echo replies."""

from dataclasses import dataclass

import numpy as np

from migrascope.metrics.packets import NS, Bools, Ints, Packets, Span, inside
from migrascope.metrics.rank import at_rank

WAITED_INTERVALS = 1
FOLLOWS_NS = 4_000_000_000
"""A silence that begins later than this after STOP is not the stop's, where no RESUME says so."""


@dataclass(frozen=True)
class Gap:
    """Silence from one reply's arrival to the next, mono ns. heard_ns: when the latter would have come, had its round
    trip been a quiet one. asked_ns: when the probe was sent whose reply was the last before the silence. late: what
    came in the first interval after it answers probes that had waited, so they were held back and the end is exact;
    else they were lost. ended: whether there was a next reply; without one the gap lasts at least until the last probe
    should have been answered."""

    start_ns: int
    end_ns: int
    heard_ns: int
    asked_ns: int
    late: bool
    interval_ns: float
    ended: bool = True

    @property
    def gap_s(self) -> float:
        return (self.end_ns - self.start_ns) / NS

    @property
    def blackout_s(self) -> float:
        """The gap less what the probes' spacing adds to it: one interval, half of one if the probes came late.

        Where they were lost, the first round trip after it, which is long after a silence, counts as a quiet one.
        """
        return max(0.0, (self._silent_ns - self._spread_ns) / NS)

    @property
    def bound_s(self) -> float:
        """How far blackout_s may be off for the probes' spacing alone."""
        return self._spread_ns / NS

    @property
    def _spread_ns(self) -> float:
        return self.interval_ns * (0.5 if self.late else 1.0)

    @property
    def begun_ns(self) -> float:
        """When the blackout began: half an interval after the last reply, in the middle of when it can have."""
        return self.start_ns + self.interval_ns / 2

    @property
    def over_ns(self) -> float:
        """When it was over: begun_ns and blackout_s later."""
        return self.begun_ns + self.blackout_s * NS

    @property
    def _silent_ns(self) -> int:
        return (self.end_ns if self.late else self.heard_ns) - self.start_ns

    @property
    def low_s(self) -> float:
        """The bracket's lower end, two intervals less than the silence; gap_s is the upper one."""
        return max(0.0, (self._silent_ns - 2 * self.interval_ns) / NS)


class Silences:
    """All intervals between successive arrivals of a set of probes, and the one that never ended, if there is one."""

    def __init__(self, packets: Packets) -> None:
        answered = packets.arrived_ns >= 0
        order = np.argsort(packets.arrived_ns[answered], kind="stable")
        self._arrived: Ints = packets.arrived_ns[answered][order]
        arrived = self._arrived
        self._sent: Ints = packets.sent_ns[answered][order]
        waited = arrived - self._sent
        self.interval_ns, self._quiet_rtt_ns = packets.interval_ns, packets.quiet_rtt_ns
        until = packets.silent_until_ns
        self.open = bool(len(arrived)) and until > arrived[-1]
        self.starts: Ints = arrived if self.open else arrived[:-1]
        self.ends: Ints = np.append(arrived[1:], until) if self.open else arrived[1:]
        self._heard: Ints = np.minimum(
            self.ends, np.append(self._sent[1:] + round(packets.quiet_rtt_ns), until)[: len(self.ends)]
        )
        self._waiters: Ints = arrived[waited >= packets.quiet_rtt_ns + WAITED_INTERVALS * self.interval_ns]

    def last_ns(self, end_ns: int) -> int:
        """When the last reply came until a stamp; 0 without one."""
        before = int(np.searchsorted(self._arrived, end_ns, side="right"))
        return int(self._arrived[before - 1]) if before else 0

    def _gap(self, at: int) -> Gap:
        end = int(self.ends[at])
        first, last = np.searchsorted(self._waiters, (end, end + self.interval_ns))
        ended = not (self.open and at == len(self.ends) - 1)
        start, heard, asked = int(self.starts[at]), int(self._heard[at]), int(self._sent[at])
        return Gap(start, end, heard, asked, bool(last > first), self.interval_ns, ended)

    def longest(self, chosen: Bools) -> Gap | None:
        """The longest of the chosen ones."""
        if not chosen.any():
            return None
        candidates = np.flatnonzero(chosen)
        return self._gap(int(candidates[np.argmax((self.ends - self.starts)[candidates])]))

    def overlapping(self, span: Span) -> Gap | None:
        """The longest one that touches the span: the blackout that a cut or a stop over that span makes."""
        return self.longest(self.touching(span))

    def touching(self, span: Span) -> Bools:
        """Which ones overlap the span, or begin within a quiet round trip after it: so much later at most an
        interruption of the way back, or of the guest, reaches the prober."""
        return np.asarray((self.ends > span[0]) & (self.starts < span[1] + self._quiet_rtt_ns), dtype=np.bool_)

    def over(self, threshold_ns: float, span: Span) -> list[Gap]:
        """Those that are longer than the threshold and start in the span, by time."""
        chosen = inside(self.starts, span) & (self.ends - self.starts > threshold_ns)
        return [self._gap(int(at)) for at in np.flatnonzero(chosen)]

    def unended(self, span: Span) -> Bools:
        """Which one never ended and starts in the span."""
        never = np.zeros(len(self.starts), dtype=np.bool_)
        if self.open:
            never[-1] = True
        return never & inside(self.starts, span)

    def p99_ns(self, span: Span) -> float | None:
        """The 99th percentile of the intervals that start in the span; None with none."""
        lengths = (self.ends - self.starts)[inside(self.starts, span)]
        return at_rank(lengths, 99) if len(lengths) else None


def gap_of_migration(packets: Packets, stop: int | None, resume: int | None, during: Span | None) -> Gap | None:
    """The gap that contains or follows STOP: the longest that ends after STOP and starts before RESUME (without one,
    in the 4 s after STOP), or that starts in during and never ends; without STOP the longest that starts in during.
    None where there is none."""
    silences = Silences(packets)
    span = during if during is not None else (0, 0)
    if stop is None:
        return silences.longest(inside(silences.starts, span))
    until = resume if resume is not None else stop + FOLLOWS_NS
    chosen = silences.touching((stop, max(until, stop + 1)))
    return silences.longest(chosen | silences.unended(span))
