"""Network blackout, outage and lost time: what silence between echo replies says."""

import numpy as np

from migrascope.metrics.gaps import Gap, Silences, gap_of_migration
from migrascope.metrics.packets import NS, Bools, Packets, Span, inside
from migrascope.metrics.rank import at_rank
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing
from migrascope.model.steady import OUTAGE_FACTOR

SOURCE = "echo"


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
    """The gap that is the migration's network blackout; None where there is none."""
    return gap_of_migration(packets, windows.stop, windows.resume, windows.during)


def measure(packets: Packets, windows: Windows) -> dict[str, Measured]:
    """network_blackout_s with its bracket, network_outage_total_s and network_lost_time_s."""
    return {**_blackout(packets, windows), **_outages(packets, windows), **_lost_time(packets, windows)}


def _blackout(packets: Packets, windows: Windows) -> dict[str, Measured]:
    keys = ("network_blackout_s", "network_blackout_low_s", "network_blackout_high_s")
    gap = migration_gap(packets, windows)
    if gap is None:
        reason = _absent(packets, windows) or "no echo probe was answered around the switchover"
        return {key: missing("s", SOURCE, reason) for key in keys}
    values = (gap.blackout_s, gap.low_s, gap.gap_s)
    found = {
        key: Measured(value, "s", SOURCE, samples=2, at_least=not gap.ended)
        for key, value in zip(keys, values, strict=True)
    }
    found[keys[0]] = found[keys[0]].within(
        resolution=gap.bound_s,
        round_trip=_uneven_s(packets, windows.before),
        lateness=_apart_s(packets, gap),
    )
    return found


def _uneven_s(packets: Packets, before: Span | None) -> float | None:
    """By how much round trips in before differ from a quiet one, s: the 95th percentile."""
    if before is None:
        return None
    trips = packets.rtt_ns[inside(packets.sent_ns, before) & (packets.rtt_ns >= 0)]
    return at_rank(np.abs(trips - packets.quiet_rtt_ns), 95) / NS if len(trips) else None


def _apart_s(packets: Packets, gap: Gap) -> float:
    """What the probes at the ends of a gap were further apart than an interval, s, half of it: after the last one that
    was answered before it, and, where those in it were lost, before the first one after it."""
    sent = packets.sent_ns
    spacing = np.diff(sent) - packets.interval_ns
    edges = [int(np.searchsorted(sent, gap.asked_ns))]
    if gap.ended and not gap.late:
        edges.append(int(np.searchsorted(sent, gap.heard_ns - round(packets.quiet_rtt_ns))) - 1)
    return float(sum(max(0.0, spacing[at]) for at in edges if 0 <= at < len(spacing))) / 2 / NS


def _outages(packets: Packets, windows: Windows) -> dict[str, Measured]:
    gaps = outages(packets, windows)
    keys = {"network_outage_total_s": "s", "network_outages": "1"}
    if gaps is None:
        reason = _absent(packets, windows) or "no reply in before to compare with"
        return {key: missing(unit, SOURCE, reason) for key, unit in keys.items()}
    total = sum(gap.gap_s for gap in gaps)
    silent = Measured(total, "s", SOURCE, samples=len(gaps)).within(resolution=2 * len(gaps) * packets.interval_ns / NS)
    return {
        "network_outage_total_s": silent.censored(not all(gap.ended for gap in gaps)),
        "network_outages": Measured(len(gaps), "1", SOURCE, samples=len(gaps)),
    }


def _lost_time(packets: Packets, windows: Windows) -> dict[str, Measured]:
    key = "network_lost_time_s"
    reason = _absent(packets, windows)
    if reason is not None or windows.during is None:
        return {key: missing("s", SOURCE, reason or "the trial has no window during")}
    chosen = inside(packets.sent_ns, windows.during)
    lost = Measured(lost_time_s(packets, windows.during), "s", SOURCE, samples=int(chosen.sum()))
    return {
        key: lost.within(resolution=_runs(packets.lost & chosen) * packets.interval_ns / NS).censored(windows.cut_off)
    }


def _runs(lost: Bools) -> int:
    """How many times probes began to be lost."""
    return int((np.diff(lost.astype(np.int8), prepend=0) == 1).sum())


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
