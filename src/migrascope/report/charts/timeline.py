"""One trial on one time axis: every series on the same bins, so that one cursor reads them all. Pure."""

import math
from dataclasses import dataclass

import numpy as np

from migrascope.metrics.packets import NS, Packets
from migrascope.metrics.windows import WINDOWS, Windows, qmp_events
from migrascope.report.charts import series
from migrascope.report.charts.bins import Numbers, bin_edges, cover, envelope, ratio
from migrascope.store.recording import Recording

BASE_S = 0.1
"""Loss and throughput are counted in bins of this width, whatever the width that is shown."""
MOST_BINS = 300
DISTURBED = "disturbed: "
"""What the names of bands and marks of disturbances begin with."""
SWITCHOVER_STEP_S = 0.02


@dataclass(frozen=True)
class Stretch:
    """Series on bins of `step_s` from `start_s` (against the request). None where a bin holds nothing.

    columns: delay_low/mid/high [s]: least, median and greatest round trip of the probes sent in the bin; loss [ratio],
    the worst base bin; goodput_low/high [bit/s] over the base bins; buffer [s], the least of all
    players; rounds [1]; link [bit/s], what the source sent on the migration link.
    """

    start_s: float
    step_s: float
    columns: dict[str, list[float | None]]


@dataclass(frozen=True)
class Timeline:
    """bands: (name, from, to) and marks: (name, at) in seconds against the request."""

    bands: list[tuple[str, float, float]]
    marks: list[tuple[str, float]]
    whole: Stretch
    switchover: Stretch | None


def timeline(recording: Recording, windows: Windows, packets: Packets, buffer_s: float) -> Timeline:
    """The series, bands and marks of a trial; buffer_s is what a player holds before it starts."""
    start_ns = windows.before[0] if windows.before else (windows.request or windows.end)
    end_ns = windows.after[1] if windows.after else windows.end
    origin = windows.request if windows.request is not None else start_ns

    def since(stamp: int) -> float:
        return (stamp - origin) / NS

    start_s = math.floor(since(start_ns) / BASE_S) * BASE_S
    end_s = max(start_s + BASE_S, math.ceil(since(end_ns) / BASE_S) * BASE_S)
    harm = [(f"{DISTURBED}{name}", since(first), since(last)) for name, first, last in disturbed(recording, end_ns)]
    bands = harm + [(name, since(span[0]), since(span[1])) for name in WINDOWS for span in [windows.span(name)] if span]
    if windows.stop is not None and windows.resume is not None:
        bands.append(("VM paused", since(windows.stop), since(windows.resume)))
    stamps = {
        "request": windows.request,
        "STOP": windows.stop,
        "RESUME": windows.resume,
        "complete": windows.complete,
        "failed": windows.failed,
        "recovered": windows.recovered,
    }
    marks = [(name, since(stamp)) for name, stamp in stamps.items() if stamp is not None]
    marks += [(name, start) for name, start, _ in harm]
    passes = [since(event.mono_ns) for event in qmp_events(recording, ("MIGRATION_PASS",))]
    drawn = _Series(recording, windows, packets, origin, bin_edges(start_s, end_s, BASE_S), passes, buffer_s)
    step = BASE_S * max(1, math.ceil((end_s - start_s) / BASE_S / MOST_BINS))
    zoom = None
    if windows.switchover is not None:
        first, last = (since(stamp) for stamp in windows.switchover)
        zoom = drawn.on(max(start_s, first), min(end_s, last), SWITCHOVER_STEP_S)
    return Timeline(bands, sorted(marks, key=lambda mark: mark[1]), drawn.on(start_s, end_s, step), zoom)


def disturbed(recording: Recording, end_ns: int) -> list[tuple[str, int, int]]:
    """(name, from, to) of each disturbance that took effect (ns); one without a duration is 100 ms wide."""
    moment_ns = round(BASE_S * NS)
    rows = recording.table("disturbance").select("name", "when", "effect_ns", "healed_ns").rows()
    return [
        (name, effect, min(healed or (end_ns if when == "trial" else effect + moment_ns), max(end_ns, effect)))
        for name, when, effect, healed in rows
        if effect
    ]


class _Series:
    """The series of a trial, ready to be put on bins."""

    def __init__(
        self,
        recording: Recording,
        windows: Windows,
        packets: Packets,
        origin_ns: int,
        base: Numbers,
        passes: list[float],
        buffer_s: float,
    ) -> None:
        self.base, self.passes = base, np.array(passes)
        self.sent = (packets.sent_ns - origin_ns) / NS
        self.rtt = np.where(packets.rtt_ns < 0, np.nan, packets.rtt_ns / NS)
        self.lost = packets.lost
        self.loss = ratio(self.sent, self.lost, base)
        self.goodput = series.goodput(recording, origin_ns, base)
        self.link = series.link(recording, origin_ns)
        self.players = series.players(recording, windows, origin_ns, buffer_s)

    def on(self, start_s: float, end_s: float, step_s: float) -> Stretch:
        edges = bin_edges(start_s, end_s, step_s)
        low, mid, high = envelope(self.sent, self.rtt, edges)
        slow, fast = cover(self.base, self.goodput, edges)
        fine = step_s < BASE_S
        columns = {
            "delay_low": low,
            "delay_mid": mid,
            "delay_high": high,
            "loss": ratio(self.sent, self.lost, edges) if fine else cover(self.base, self.loss, edges)[1],
            "goodput_low": slow,
            "goodput_high": fast,
            "buffer": self._buffer(edges),
            "rounds": np.searchsorted(self.passes, edges[1:]).astype(float),
            "link": self._link_rate(edges),
        }
        return Stretch(round(start_s, 3), round(step_s, 3), {name: _plain(values) for name, values in columns.items()})

    def _buffer(self, edges: Numbers) -> Numbers:
        """The least of all players."""
        least = np.full(len(edges) - 1, np.nan)
        middles = (edges[:-1] + edges[1:]) / 2
        for at, level in self.players:
            drained = np.interp(middles, at, level, left=np.nan, right=np.nan)
            least = np.fmin(least, np.fmin(drained, envelope(at, level, edges)[0]))
        return least

    def _link_rate(self, edges: Numbers) -> Numbers:
        at, carried = self.link
        if len(at) < 2:
            return np.full(len(edges) - 1, np.nan)
        rate: Numbers = np.diff(np.interp(edges, at, carried, left=np.nan, right=np.nan)) * 8 / np.diff(edges)
        return rate


def _plain(values: Numbers) -> list[float | None]:
    """Four significant digits, None for NaN; an empty list for a series that was not recorded."""
    if np.isnan(values).all():
        return []
    return [None if math.isnan(value) else float(f"{value:.4g}") for value in values.tolist()]
