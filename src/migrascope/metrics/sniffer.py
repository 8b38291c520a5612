"""What a packet sniffer prints as delay and jitter: how packets of the visitors follow each other at their interface.

Neither is the delay of RFC 7679 nor the variation of RFC 3393: no packet's way is timed, only the gaps between packets.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from migrascope.metrics.packets import NS, Bools, Ints, Span, by_nearest, inside
from migrascope.metrics.windows import WINDOWS, Windows, foreign
from migrascope.model.family import FIRST
from migrascope.model.measured import Measured, missing
from migrascope.store.pcap.frames import INWARD, OUTWARD
from migrascope.store.pcap.layers import TCP, headers
from migrascope.store.pcap.reader import Capture, CaptureError
from migrascope.store.recording import Recording

SOURCE = "capture"
SERIES = ("received", "sent", "flow")
AGENT_PORT = 8080
"""The guest's own services, which Migrascope asks; visitors use port 80."""


@dataclass(frozen=True)
class Sniffed:
    """The visitors' TCP packets over an address family, in the order of time: mono ns, whether the visitor received
    each, and a number that tells flows apart."""

    time_ns: Ints
    received: Bools
    flow: Ints


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """sniffer.delay_s and sniffer.jitter_s of each series and window."""
    sniffed, why = _sniffed(recording)
    found: dict[str, Measured] = {}
    for series in SERIES:
        for name in WINDOWS:
            span = windows.span(name)
            reason = why or (f"the trial has no window {name}" if span is None else None)
            keys = f"sniffer.delay_s.{series}.{name}", f"sniffer.jitter_s.{series}.{name}"
            if reason is not None or span is None or sniffed is None:
                found |= {key: missing("s", SOURCE, reason or "") for key in keys}
            else:
                gaps = list(_gaps(sniffed, span, series))
                changes = [np.abs(np.diff(each)) for each in gaps]
                for key, parts in zip(keys, (gaps, changes), strict=True):
                    found[key] = _mean(parts, f"too few packets in {name}")
    return found


def _mean(parts: list[Ints], why: str) -> Measured:
    values = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
    if not len(values):
        return missing("s", SOURCE, why)
    return Measured(float(values.mean()) / NS, "s", SOURCE, samples=len(values))


def _gaps(sniffed: Sniffed, span: Span, series: str) -> Iterator[Ints]:
    """The times between successive packets in a window, ns: of all of the series, or of each flow by itself."""
    chosen = inside(sniffed.time_ns, span) & (sniffed.received if series != "sent" else ~sniffed.received)
    time = sniffed.time_ns[chosen]
    if series != "flow":
        yield np.diff(time)
        return
    flow = sniffed.flow[chosen]
    order = np.argsort(flow, kind="stable")
    time, flow = time[order], flow[order]
    for part in np.split(time, np.flatnonzero(np.diff(flow)) + 1):
        yield np.diff(part)


def _sniffed(recording: Recording) -> tuple[Sniffed | None, str | None]:
    """The packets, or why there are none."""
    if recording.capture is None:
        planned = recording.trial.plan.get("capture", {}).get("enabled", False)
        return None, "the trial's capture was not kept" if planned else "the plan has no capture"
    if recording.family not in recording.trial.plan.get("families", [FIRST]):
        return None, f"the plan has no {recording.family}"
    online = recording.trial.factors.scenario == "online" and recording.family == FIRST
    if online and foreign(recording):  # viewers have the live stream from their own machine
        return None, "the video of this scenario comes to its viewers within their machine, where the capture is not"
    times, received, flows = [], [], []
    version = 4 if recording.family == FIRST else 6
    try:
        for frames in Capture(recording.capture).batches():
            found = headers(frames)
            ours = (found.source_port == AGENT_PORT) | (found.target_port == AGENT_PORT)
            known = (frames.direction == INWARD) | (frames.direction == OUTWARD)
            chosen = (found.protocol == TCP) & (found.version == version) & ~ours & known
            times.append(frames.time_ns[chosen])
            received.append(frames.direction[chosen] == INWARD)
            flows.append((found.source + found.target)[chosen].view(np.int64))
    except CaptureError as error:
        return None, str(error)
    if not times:
        return None, "the capture is empty"
    clock, walls = recording.wall_clock, np.concatenate(times)
    mono = by_nearest(clock, walls, walls - clock.offset_ns())
    order = np.argsort(mono, kind="stable")
    return Sniffed(mono[order], np.concatenate(received)[order], np.concatenate(flows)[order]), None
