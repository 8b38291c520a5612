"""The raw series behind a trial's time axis, in seconds against an origin, from what the metrics read too."""

import numpy as np

from migrascope.metrics.link import of_stream
from migrascope.metrics.packets import NS
from migrascope.metrics.player import viewers
from migrascope.metrics.visitor import delivered
from migrascope.metrics.windows import Windows
from migrascope.report.charts.bins import Numbers
from migrascope.store.recording import Recording


def goodput(recording: Recording, origin_ns: int, edges: Numbers) -> Numbers:
    """Payload that reached visitors and viewers [bit/s] in each bin; NaN where the trial has none."""
    stamps, sizes = delivered(recording)
    if not len(stamps):
        return np.full(len(edges) - 1, np.nan)
    came = np.histogram((stamps - origin_ns) / NS, edges, weights=sizes)[0]
    rate: Numbers = came * 8 / np.diff(edges)
    return rate


def link(recording: Recording, origin_ns: int) -> tuple[Numbers, Numbers]:
    """When the migration link's counter was read, and the payload bytes that the source had sent by then."""
    counters = of_stream(recording)
    return (counters.mono_ns - origin_ns) / NS, counters.sent.astype(np.float64)


def players(recording: Recording, windows: Windows, origin_ns: int, buffer_s: float) -> list[tuple[Numbers, Numbers]]:
    """For each viewer the corners of its player's buffer: when [s], and how much [s]. The player is the one of
    metrics.player: in steady state its buffer is full at `buffer_s`; it drains from when the next media were due, by
    how late the viewer's media come in *before*, until they come; at 0 the player stands still."""
    if windows.before is None:
        return []
    begin, end = windows.before
    corners = []
    for viewer in viewers(recording).values():
        came = viewer.arrived_ns >= 0
        behind = viewer.arrived_ns / NS - viewer.media_s
        quiet = came & viewer.first & (viewer.asked_ns >= begin) & (viewer.asked_ns < end)
        if quiet.any():
            at = (viewer.arrived_ns[came] - origin_ns) / NS
            corners.append(_drain(at, behind[came] - np.median(behind[quiet]), buffer_s))
    return corners


def _drain(at: Numbers, late: Numbers, buffer_s: float) -> tuple[Numbers, Numbers]:
    due = at - late
    waited = (late > 0) & (due > np.concatenate(([-np.inf], np.maximum.accumulate(at)[:-1])))
    empty = waited & (late > buffer_s)
    when = np.concatenate((due[waited], due[empty] + buffer_s, at))
    level = np.concatenate(
        (np.full(waited.sum(), buffer_s), np.zeros(empty.sum()), np.clip(buffer_s - late, 0.0, buffer_s))
    )
    order = np.argsort(when, kind="stable")
    return when[order], level[order]
