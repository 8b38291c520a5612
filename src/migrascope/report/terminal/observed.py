"""Lines for people of what `observe` tells."""

from collections.abc import Sequence

from migrascope.model.observation import (
    BOOT_RATE,
    ECHO_BYTES,
    SEGMENT_BYTES,
    SYN_BYTES,
    VISIT_BYTES,
    BackOff,
    Begin,
    Blackout,
    End,
    Event,
    OwnLateness,
    Silent,
    Target,
)
from migrascope.model.units import duration_text, human, number_of

_HEADER_BYTES, _HEADER_6_BYTES = 20, 40
_WAYS = {"icmp-raw": "a raw socket", "icmp-ping": "the kernel's ping socket"}


def line(event: Event, *, several: bool) -> str:
    """An event as a line. several: whether other addresses are observed, too."""
    match event:
        case Begin():
            return _begin(event)
        case End():
            return _end(event)
        case OwnLateness():
            return f"{_clock(event.time)} {_own(event)}"
        case Silent():
            words = f"silent, for {human(event.seconds, 's')} so far"
        case BackOff():
            words = f"asks to be left alone ({event.why}): nothing is sent for {human(event.seconds, 's')}"
        case Blackout():
            words = _blackout(event)
    whose = f" {event.name}" if several else ""
    return f"{_clock(event.time)}{whose} {words}"


def total(targets: Sequence[Target], for_s: float | None) -> str:
    """All that will be sent, in a sentence. for_s: for how long, None until Ctrl-C."""
    kept = [target for target in targets if target.clock_port]
    booted = [target for target in targets if target.boot_url]
    segments, boots = sum(target.clock_rate for target in kept), BOOT_RATE * len(booted)
    packets = sum(target.rate for target in targets) + segments + boots
    bits = 8 * (
        sum(target.rate * _bytes(target) for target in targets)
        + sum(target.clock_rate * (_header(target) + SEGMENT_BYTES) for target in kept)
        + sum(BOOT_RATE * _visit_bytes(target) for target in booted)
    )
    among = ""
    if kept:
        among = f", {segments:g} of them on {number_of('kept TCP connection', len(kept))}"
    if booted:
        among += f"{',' if not kept else ' and'} {boots:g} {'of them ' if not kept else ''}for a boot id"
    until = "until Ctrl-C" if for_s is None else f"for {duration_text(for_s)}"
    return f"in all {packets:g} probes a second{among}, {human(bits, 'bit/s')}, {until}"


def _header(target: Target) -> int:
    return _HEADER_6_BYTES if ":" in target.address else _HEADER_BYTES


def _visit_bytes(target: Target) -> int:
    return 6 * _header(target) + VISIT_BYTES


def _bytes(target: Target) -> int:
    if target.way == "http":
        return _visit_bytes(target)
    header = _header(target)
    return 2 * header + 2 * SYN_BYTES if target.port else header + ECHO_BYTES


def _begin(event: Begin) -> str:
    target = event.target
    if target.way == "http":
        what = f"{target.rate:g} visits a second, each on a new connection"
    elif target.port:
        why = "as asked for" if target.why == "--port" else f"because {target.why}"
        what = f"{target.rate:g} TCP handshakes a second with port {target.port}, {why}"
    else:
        what = f"{target.rate:g} ICMP echo requests a second through {_WAYS[target.way]}"
    seen = f"outages are seen from {human(event.least_s, 's')} on, to ±{human(event.bound_s, 's')}"
    waits = "" if target.answers else "; it does not answer yet"
    return f"{target.label}: {what}; {seen}{waits}"


def _blackout(event: Blackout) -> str:
    short = event.seconds < 1
    length = f"{1000 * event.seconds:.0f} ms" if short else f"{event.seconds:.2f} s"
    bound = f"{1000 * event.bound_s:.2g}" if short else f"{event.bound_s:.2g}"
    lost = f"{number_of('probe', event.lost)} lost"
    fate = f"probes held back, {lost}" if event.late else lost
    if event.at_least:
        return f"blackout of at least {length}, not over: {lost}"
    return f"blackout {length} (±{bound}): {'; '.join([*_shown(event), fate])}"


def _shown(event: Blackout) -> list[str]:
    """What else is known of a blackout: the guest's pause, the kept connection, and whether it moved."""
    parts = []
    if event.paused_s is not None and event.paused_bound_s is not None and event.network_s is not None:
        paused = f"{1000 * event.paused_s:.0f} ms (±{1000 * event.paused_bound_s:.2g})"
        parts.append(f"guest paused {paused}, network {1000 * event.network_s:.0f} ms")
    if event.kept is not None:
        parts.append(f"its connection was {'kept' if event.kept else 'lost'}")
    if event.verdict in ("moved", "restarted"):
        parts.append(f"{event.verdict}: {event.why}")
    return parts


def _own(event: OwnLateness) -> str:
    if not event.seconds:
        return "this machine's wall clock stepped: whether anything was silent is not known"
    return f"this machine sent nothing for {human(event.seconds, 's')}: whether anything was silent is not known"


def _end(event: End) -> str:
    label = event.name if event.name == event.address else f"{event.name} ({event.address})"
    if not event.answered:
        return f"{label}: {event.sent} probes, none answered"
    loss = f"{human(event.loss_ratio, 'ratio')} lost" if event.loss_ratio is not None else "none is known to be lost"
    trip = [f"round trip {human(event.rtt_s, 's')}"] if event.rtt_s is not None else []
    longest = [f"{human(event.rtt_max_s, 's')} at most"] if event.rtt_max_s is not None else []
    many = f"{number_of('blackout', event.blackouts)}"
    in_all = f", {human(event.blackout_total_s, 's')} in all" if event.blackouts else ""
    return f"{label}: {event.sent} probes, {loss}, {', '.join([*trip, *longest])}, {many}{in_all}"


def _clock(time: str) -> str:
    """14:03:22.118 of an ISO time."""
    return time[11:23]
