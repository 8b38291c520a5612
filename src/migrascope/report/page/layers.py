"""One migration on OpenStack as each layer saw it. Pure."""

import math
from dataclasses import dataclass, replace
from typing import Any

from migrascope.metrics import libvirt, openstack, ovn
from migrascope.metrics.migration import first_pass_ns
from migrascope.metrics.network import migration_gap
from migrascope.metrics.packets import NS, Packets
from migrascope.metrics.windows import Windows
from migrascope.metrics.wiring import path
from migrascope.store.recording import Recording

_MARGIN_S = 0.5
_UNDER_WAY = ("MIGRATING", "accepted", "queued", "preparing", "running")


@dataclass(frozen=True)
class Span:
    """A stretch of one layer in seconds from the request; tone: its colour (run, wait, gone)."""

    label: str
    start_s: float
    end_s: float
    tone: str


@dataclass(frozen=True)
class Layers:
    """title -> its spans; begin and end of the whole, and of the stretch around the switchover (None: not seen)."""

    lanes: dict[str, list[Span]]
    whole: tuple[float, float]
    close: tuple[float, float] | None


def layers(recording: Recording, windows: Windows, packets: Packets) -> Layers | None:
    """What each layer saw; None for a trial that no API was polled in, or that came to no end."""
    request, ended = windows.request, openstack.ended(recording)
    last = ended.middle_ns if ended is not None else windows.complete
    if not recording.table(openstack.SOURCE).height or request is None or last is None:
        return None

    def since(stamp: float) -> float:
        return (stamp - request) / NS

    over = since(last) + _MARGIN_S
    lanes = {
        "Nova: record": _record(recording, since, over),
        "Nova: server": _server(recording, since, over),
        "Neutron: port": _port(recording, since, over),
        "OVN: port": _ovn(recording, windows, since, over),
        "libvirt": _libvirt(recording, since),
        "QEMU": _qemu(recording, windows, since, over),
        "Network": _network(recording, windows, since, over),
        "Visitor": _visitor(packets, windows, since, over),
    }
    close = None
    if windows.stop is not None and windows.resume is not None:
        edges = [windows.stop, windows.resume]
        if gap := migration_gap(packets, windows):
            edges += [gap.start_ns, gap.end_ns]
        close = since(min(edges)) - _MARGIN_S, since(max(edges)) + _MARGIN_S
    return Layers({name: spans for name, spans in lanes.items() if spans}, (0.0, over), close)


def _record(recording: Recording, since: Any, over: float) -> list[Span]:
    return _changes([(poll, poll.answer[0]["status"] if poll.answer else "none") for poll in
                     openstack.polls(recording, "record")], since, over)  # fmt: skip


def _server(recording: Recording, since: Any, over: float) -> list[Span]:
    return _changes([(poll, poll.answer["status"]) for poll in openstack.polls(recording, "server")], since, over)


def _port(recording: Recording, since: Any, over: float) -> list[Span]:
    """Where the port is bound; the host whose binding is active comes first."""
    told = []
    for poll in openstack.polls(recording, "bindings"):
        order = sorted(poll.answer, key=lambda binding: binding["status"] != "ACTIVE")
        told.append((poll, " + ".join(binding["host"] for binding in order)))
    return _changes(told, since, over)


def _ovn(recording: Recording, windows: Windows, since: Any, over: float) -> list[Span]:
    """Which chassis OVN has the port on, and while the destination's waits for a RARP."""
    wired = ovn.wired(recording, windows)
    if wired is None:
        return []
    at = {name: since(stamp.ns) for name, stamp in wired.stamps.items()}
    if not {"claimed", "switched", "up"} <= set(at):
        return []
    source, destination = recording.trial.source, recording.trial.destination
    both = at.get("unblocked", at["claimed"])
    spans = [
        Span(source, 0.0, at["claimed"], "run"),
        Span(f"{source}; {destination} waits for the RARP", at["claimed"], both, "wait"),
        Span(f"{source} + {destination}", both, at["switched"], "run"),
        Span("bound anew", at["switched"], at["up"], "wait"),
        Span(destination, at["up"], over, "run"),
    ]
    return [replace(span, end_s=min(span.end_s, over)) for span in spans if span.start_s < min(span.end_s, over)]


def _changes(told: list[tuple[openstack.Poll, str]], since: Any, over: float) -> list[Span]:
    """Stretches of one state each. A change is put between the last poll before it and the first after."""
    found: list[tuple[str, float]] = []
    before = None
    for poll, state in told:
        if not found or found[-1][0] != state:
            at = since(poll.answered_ns if before is None else (before.asked_ns + poll.answered_ns) / 2)
            found.append((state, at))
        before = poll
    ends = [at for _, at in found[1:]] + [over]
    spans = [
        Span(state, max(0.0, start), end, "wait" if state in _UNDER_WAY else "run")
        for (state, start), end in zip(found, ends, strict=True)
        if end > 0 and start < over
    ]
    return [span for span in spans if span.label != "none"]


def _libvirt(recording: Recording, since: Any) -> list[Span]:
    """The job as long as libvirt says, up to when it told so."""
    source, job = libvirt.completed(recording)
    if source != libvirt.EVENT or not job:
        return []
    events = recording.table("libvirt_event")
    told = events.filter((events["event"] == libvirt.EVENT) & (events["host"] == recording.trial.source))[
        "recv_ns"
    ].max()
    if not isinstance(told, int):
        return []
    end = since(told)
    return [Span("job", end - job["time_elapsed"] / 1e3, end, "wait")]


def _qemu(recording: Recording, windows: Windows, since: Any, over: float) -> list[Span]:
    copying, stop, resume = first_pass_ns(recording), windows.stop, windows.resume
    if copying is None or stop is None or resume is None:
        return []
    trial = recording.trial
    return [
        Span(f"runs on {trial.source}", 0.0, since(copying), "run"),
        Span("copy", since(copying), since(stop), "wait"),
        Span("paused", since(stop), since(resume), "gone"),
        Span(f"runs on {trial.destination}", since(resume), over, "run"),
    ]


def _network(recording: Recording, windows: Windows, since: Any, over: float) -> list[Span]:
    seen = path(recording, windows)
    if seen is None or seen.left is None or seen.came is None:
        return []
    trial = recording.trial
    left, came = since(seen.left), since(seen.came)
    between = [Span("to nobody", left, came, "gone")] if came > left else []
    return [
        Span(f"frames to {trial.source}", 0.0, left, "run"),
        *between,
        Span(f"frames to {trial.destination}", max(left, came), over, "run"),
    ]


def _visitor(packets: Packets, windows: Windows, since: Any, over: float) -> list[Span]:
    gap = migration_gap(packets, windows)
    if gap is None:
        return []
    start, end = since(gap.start_ns), since(gap.end_ns)
    return [
        Span("answered", 0.0, start, "run"),
        Span("no reply", start, end, "gone"),
        *([Span("answered", end, over, "run")] if gap.ended else []),
    ]


def drawn(found: Layers) -> list[dict[str, Any]]:
    """Both stretches as the page lays them out: lanes of boxes, left and width in %, and the axis' ticks."""
    stretches = [("from the request to the completed record", found.whole)]
    if found.close is not None:
        stretches.append(("around the switchover", found.close))
    return [
        {
            "title": title,
            "ticks": [
                (f"{at:g} s", 100 * (at - begin) / (end - begin))
                for at in _ticks(begin, end)
                if 0.03 < (at - begin) / (end - begin) < 0.97
            ],
            "lanes": [(name, _boxes(spans, begin, end)) for name, spans in found.lanes.items()],
        }
        for title, (begin, end) in stretches
    ]


def _boxes(spans: list[Span], begin: float, end: float) -> list[dict[str, Any]]:
    boxes = []
    for span in spans:
        start, stop = max(begin, span.start_s), min(end, span.end_s)
        if stop > start:
            width = 100 * (stop - start) / (end - begin)
            told = f"{span.label}, {span.start_s:.3f} s to {span.end_s:.3f} s"
            label = span.label if 0.11 * width * 10 > len(span.label) + 1 else ""
            boxes.append(
                {"left": 100 * (start - begin) / (end - begin), "width": width, "tone": span.tone, "label": label,
                 "told": told}
            )  # fmt: skip
    return boxes


def _ticks(begin: float, end: float) -> list[float]:
    """Some six round moments."""
    rough = (end - begin) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(begin / step)
    return [round(at * step, 6) for at in range(first, math.floor(end / step) + 1)]
