"""Delay, its variation and loss of each way by window, from STAMP's packets, and the guest's clock."""

from collections.abc import Iterator

import numpy as np

from migrascope.metrics.echo import smoothed
from migrascope.metrics.packets import NS, TMAX_NS, Bools, Ints, Span, inside
from migrascope.metrics.rank import at_rank
from migrascope.metrics.stamp.clock import Clock, Delays
from migrascope.metrics.stamp.direction import Gap, Uncountable, gaps, lost
from migrascope.metrics.stamp.probes import Probes
from migrascope.metrics.windows import WINDOWS, Windows, end_of
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "stamp"
DELAYS = {"p50": 50.0, "p95": 95.0, "max": 100.0}
VARIATIONS = ("p50", "p95")
_CLOCK = ("probe.clock_offset_s.before", "probe.clock_offset_s.after", "probe.clock_step_s")


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """probe.owd_*, probe.ipdv_*, probe.pdv_*, probe.owd_smoothed_jitter_* and probe.loss_* of each way and window, and
    probe.clock_*; a packet belongs to the window in which it was sent, on its way back too."""
    probes = Probes.of(recording, end_of(recording))
    if not len(probes.seq):
        why = "no STAMP packets were sent (probes.stamp_rate)"
        keys = [key for name in WINDOWS for key in _keys(name)]
        return {key: missing(_unit_of(key), SOURCE, why) for key in [*keys, *_CLOCK]}
    clock = Clock.of(probes, pause_of(probes, windows))
    delays = clock.delays(probes)
    found: dict[str, Measured] = {}
    for name in WINDOWS:
        span = windows.span(name)
        if span is None or not inside(probes.sent_ns, span).any():
            why = f"the trial has no window {name}" if span is None else f"no STAMP packets in {name}"
            found |= {key: missing(_unit_of(key), SOURCE, why) for key in _keys(name)}
        else:
            found |= dict(_delays(clock, delays, inside(probes.sent_ns, span), name))
            found |= _losses(probes, delays, span, name)
    return found | _clock(recording, clock)


def _unit_of(key: str) -> str:
    return "ratio" if key.startswith("probe.loss_") else "s"


def _keys(name: str) -> Iterator[str]:
    for way in ("out", "back"):
        yield from (f"probe.owd_{way}_s.{name}.{p}" for p in DELAYS)
        for kind in ("ipdv", "pdv"):
            yield from (f"probe.{kind}_{way}_s.{name}.{p}" for p in VARIATIONS)
        yield f"probe.owd_smoothed_jitter_{way}_s.{name}.max"
        yield f"probe.loss_{way}_ratio.{name}"


def pause_of(probes: Probes, windows: Windows) -> Span | None:
    """When the guest stood still: STOP to RESUME; where these are not known the longest silence in during; None without
    a migration."""
    if windows.stop is not None and windows.resume is not None:
        return windows.stop, windows.resume
    arrived = np.sort(probes.answers.arrived_ns)
    if windows.during is None or len(arrived) < 2:
        return None
    begins = np.flatnonzero(inside(arrived[:-1], windows.during))
    if not len(begins):
        return None
    longest = begins[np.argmax(np.diff(arrived)[begins])]
    return int(arrived[longest]), int(arrived[longest + 1])


def _delays(clock: Clock, delays: Delays, chosen: Bools, name: str) -> Iterator[tuple[str, Measured]]:
    ways: dict[str, tuple[Ints, Bools, Bools]] = {
        "out": (delays.out_ns, delays.out_known, delays.out_after),
        "back": (delays.back_ns, delays.back_known, delays.back_after),
    }
    for way, (delay, known, after) in ways.items():
        had = delay[chosen & known]
        clock_s = _clock_s(clock, after[chosen & known])
        for p, rank in DELAYS.items():
            yield f"probe.owd_{way}_s.{name}.{p}", _percentile(had, rank, f"no answer in {name}", clock_s)
        change = ipdv(delay[chosen], known[chosen])
        for p in VARIATIONS:
            few = f"no two successive answers in {name}"
            yield f"probe.ipdv_{way}_s.{name}.{p}", _percentile(np.abs(change), DELAYS[p], few)
            above = had - had.min() if len(had) else had
            yield f"probe.pdv_{way}_s.{name}.{p}", _percentile(above, DELAYS[p], f"no answer in {name}")
        key = f"probe.owd_smoothed_jitter_{way}_s.{name}.max"
        if len(change):
            yield key, Measured(float(smoothed(change).max()) / NS, "s", SOURCE, samples=len(change))
        else:
            yield key, missing("s", SOURCE, f"no two successive answers in {name}")


def ipdv(delay_ns: Ints, known: Bools) -> Ints:
    """Signed differences of the delays of successive packets (RFC 3393), ns; a pair with a lost member is undefined and
    left out."""
    return np.diff(delay_ns)[known[1:] & known[:-1]]


def _clock_s(clock: Clock, after: Bools) -> float | None:
    """How far the reflector's clock may be off where it stamped these packets, s."""
    lines = [line for line, used in ((clock.before, ~after), (clock.after, after)) if line is not None and used.any()]
    return max((line.bound_ns for line in lines), default=0.0) / NS if lines else None


def _percentile(values: Ints, rank: float, why: str, clock_s: float | None = None) -> Measured:
    if not len(values):
        return missing("s", SOURCE, why)
    return Measured(at_rank(values, rank) / NS, "s", SOURCE, samples=len(values)).within(clock=clock_s)


def _losses(probes: Probes, delays: Delays, span: Span, name: str) -> dict[str, Measured]:
    keys = [f"probe.loss_{way}_ratio.{name}" for way in ("out", "back")]
    settled = probes.sent_ns + TMAX_NS <= probes.end_ns
    places = np.flatnonzero(inside(probes.sent_ns, span) & settled)
    if not len(places):
        return {key: missing("ratio", SOURCE, f"recording ended within Tmax of every packet in {name}") for key in keys}
    try:
        found = gaps(probes)
    except Uncountable as error:
        return {key: missing("ratio", SOURCE, str(error)) for key in keys}
    return dict(zip(keys, _ratios(found, delays, places, name), strict=True))


def _ratios(found: list[Gap], delays: Delays, places: Ints, name: str) -> tuple[Measured, Measured]:
    """Loss on the way out, of the packets sent, and on the way back, of those that the reflector answered."""
    sent, here = len(places), lost(found, int(places[0]), int(places[-1]) + 1)
    if here.unknown:
        why = f"no later answer says which way {here.unknown} of {here.total} lost packets in {name} went"
        return missing("ratio", SOURCE, why), missing("ratio", SOURCE, why)
    late_out = int((delays.out_known & (delays.out_ns > TMAX_NS))[places].sum())
    late_back = int((delays.back_known & (delays.back_ns > TMAX_NS))[places].sum())
    low, high = here.out_low + late_out, here.out_high + late_out
    out = Measured((low + high) / 2 / sent, "ratio", SOURCE, samples=sent)
    out = out.within(resolution=(high - low + 1) / 2 / sent)
    if high == sent:
        return out, missing("ratio", SOURCE, f"no packet sent in {name} came to the reflector")
    most, least = (
        (here.total - out_lost + late_back) / (sent - out_lost) for out_lost in (here.out_low, here.out_high)
    )
    answered = sent - here.out_high
    back = Measured((most + least) / 2, "ratio", SOURCE, samples=answered)
    return out, back.within(resolution=(abs(most - least) + 1 / answered) / 2)


def _clock(recording: Recording, clock: Clock) -> dict[str, Measured]:
    if not recording.wall_clock.pairs:
        return {key: missing("s", SOURCE, "no clock was recorded") for key in _CLOCK}
    apart = recording.wall_clock.offset_ns()
    found = {}
    for key, line, name in zip(_CLOCK, (clock.before, clock.after), ("before", "after"), strict=False):
        if line is None:
            found[key] = missing("s", SOURCE, f"no answer {name} the pause")
        else:
            offset = (line.base_ns - apart + line.shift_ns) / NS
            found[key] = Measured(offset, "s", SOURCE, samples=line.bins).within(clock=line.bound_ns / NS)
    step = clock.step_ns()
    if step is None:
        why = "the guest did not stand still" if clock.pause is None else "no answer on one side of the pause"
        found[_CLOCK[2]] = missing("s", SOURCE, why)
    else:
        found[_CLOCK[2]] = Measured(step[0] / NS, "s", SOURCE).within(clock=step[1] / NS)
    return found
