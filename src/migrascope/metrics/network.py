"""Network blackout, outage and lost time: what silence between echo replies says."""

from dataclasses import dataclass

import numpy as np

from migrascope.metrics.packets import NS, Bools, Ints, Packets, Span, inside
from migrascope.metrics.windows import SECOND, Windows
from migrascope.model.measured import Measured, missing

SOURCE = "echo"
OUTAGE_FACTOR = 5
WAITED_INTERVALS = 1


@dataclass(frozen=True)
class Gap:
    """Silence from one reply's arrival to the next, mono ns. heard_ns: when the latter would have come, had its round
    trip been a quiet one. late: what came in the first interval after it answers probes that had waited, so they were
    held back and the end is exact; else they were lost. ended: whether there was a next reply; without one the gap
    lasts at least until the last probe should have been answered."""

    start_ns: int
    end_ns: int
    heard_ns: int
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
        return max(0.0, (self._silent_ns - self.interval_ns * (0.5 if self.late else 1.0)) / NS)

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
        arrived = packets.arrived_ns[answered][order]
        sent = packets.sent_ns[answered][order]
        waited = arrived - sent
        self.interval_ns = packets.interval_ns
        until = packets.silent_until_ns
        self.open = bool(len(arrived)) and until > arrived[-1]
        self.starts: Ints = arrived if self.open else arrived[:-1]
        self.ends: Ints = np.append(arrived[1:], until) if self.open else arrived[1:]
        self._heard: Ints = np.minimum(
            self.ends, np.append(sent[1:] + round(packets.quiet_rtt_ns), until)[: len(self.ends)]
        )
        self._waiters: Ints = arrived[waited >= packets.quiet_rtt_ns + WAITED_INTERVALS * self.interval_ns]

    def _gap(self, at: int) -> Gap:
        end = int(self.ends[at])
        first, last = np.searchsorted(self._waiters, (end, end + self.interval_ns))
        ended = not (self.open and at == len(self.ends) - 1)
        return Gap(int(self.starts[at]), end, int(self._heard[at]), bool(last > first), self.interval_ns, ended)

    def longest(self, chosen: Bools) -> Gap | None:
        """The longest of the chosen ones."""
        if not chosen.any():
            return None
        candidates = np.flatnonzero(chosen)
        return self._gap(int(candidates[np.argmax((self.ends - self.starts)[candidates])]))

    def overlapping(self, span: Span) -> Gap | None:
        """The longest one that overlaps the span: the blackout that a cut or a stop over that span makes."""
        return self.longest(self.touching(span))

    def touching(self, span: Span) -> Bools:
        """Which ones overlap the span."""
        return np.asarray((self.ends > span[0]) & (self.starts < span[1]), dtype=np.bool_)

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
        return float(np.percentile(lengths, 99)) if len(lengths) else None


def blackout(packets: Packets, span: Span) -> Gap | None:
    """The gap that a known interruption over the span (mono ns) made; None where too few replies came."""
    return Silences(packets).overlapping(span)


def outages(packets: Packets, windows: Windows) -> list[Gap] | None:
    """Every gap in during over five times the p99 of before; None where either window is missing or empty."""
    if windows.before is None or windows.during is None:
        return None
    silences = Silences(packets)
    usual = silences.p99_ns(windows.before)
    return None if usual is None else silences.over(OUTAGE_FACTOR * usual, windows.during)


def migration_gap(packets: Packets, windows: Windows) -> Gap | None:
    """The gap that contains or follows STOP: the longest that ends after STOP and starts before RESUME (without one,
    in the switchover), or that starts in during and never ends; without STOP the longest that starts in during. None
    where there is none."""
    silences = Silences(packets)
    during = windows.during if windows.during is not None else (0, 0)
    if windows.stop is None:
        return silences.longest(inside(silences.starts, during))
    until = windows.resume if windows.resume is not None else windows.stop + 4 * SECOND
    chosen = silences.touching((windows.stop, max(until, windows.stop + 1)))
    return silences.longest(chosen | silences.unended(during))


def measure(packets: Packets, windows: Windows) -> dict[str, Measured]:
    """network_blackout_s with its bracket, network_outage_total_s and network_lost_time_s."""
    return {**_blackout(packets, windows), **_outages(packets, windows), **_lost_time(packets, windows)}


def _blackout(packets: Packets, windows: Windows) -> dict[str, Measured]:
    keys = ("network_blackout_s", "network_blackout_low_s", "network_blackout_high_s")
    gap = migration_gap(packets, windows)
    if gap is None:
        reason = _absent(packets, windows) or "no echo probe was answered around the switchover"
        return {key: missing("s", SOURCE, reason) for key in keys}
    bound = packets.interval_ns / NS * (0.5 if gap.late else 1.0)
    values = (gap.blackout_s, gap.low_s, gap.gap_s)
    return {
        key: Measured(value, "s", SOURCE, None, bound if key == keys[0] else None, 2, at_least=not gap.ended)
        for key, value in zip(keys, values, strict=True)
    }


def _outages(packets: Packets, windows: Windows) -> dict[str, Measured]:
    gaps = outages(packets, windows)
    keys = {"network_outage_total_s": "s", "network_outages": "1"}
    if gaps is None:
        reason = _absent(packets, windows) or "no reply in before to compare with"
        return {key: missing(unit, SOURCE, reason) for key, unit in keys.items()}
    total = sum(gap.gap_s for gap in gaps)
    return {
        "network_outage_total_s": Measured(total, "s", SOURCE, samples=len(gaps)).censored(
            not all(gap.ended for gap in gaps)
        ),
        "network_outages": Measured(len(gaps), "1", SOURCE, samples=len(gaps)),
    }


def _lost_time(packets: Packets, windows: Windows) -> dict[str, Measured]:
    key = "network_lost_time_s"
    reason = _absent(packets, windows)
    if reason is not None or windows.during is None:
        return {key: missing("s", SOURCE, reason or "the trial has no window during")}
    chosen = inside(packets.sent_ns, windows.during)
    lost_s = lost_time_s(packets, windows.during)
    return {key: Measured(lost_s, "s", SOURCE, samples=int(chosen.sum())).censored(windows.cut_off)}


def lost_time_s(packets: Packets, span: Span) -> float:
    """The sum of the actual send spacings (each to the probe after it) of the lost probes sent in the span, s."""
    spacing = np.diff(packets.sent_ns, append=packets.sent_ns[-1:] + round(packets.interval_ns))
    return float(spacing[packets.lost & inside(packets.sent_ns, span)].sum()) / NS


def _absent(packets: Packets, windows: Windows) -> str | None:
    if windows.during is None:
        return "the trial has no window during"
    if not inside(packets.sent_ns, windows.during).any():
        return "no echo probes in during"
    return None
