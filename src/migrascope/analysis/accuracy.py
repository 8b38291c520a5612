"""What the meter's error is, against truths that calibrate made: rows for each layer, truth and nominal length."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import polars as pl

from migrascope.metrics import http, network
from migrascope.metrics.packets import NS, Packets, Span, to_mono
from migrascope.metrics.player import viewers
from migrascope.metrics.windows import SECOND, end_of
from migrascope.model import family
from migrascope.store.recording import Recording

Truth = tuple[str, str, float, float, float, float]
"""(layer, truth, nominal s, truth s, its bound s, measured s)"""


def rows(truths: Iterable[Truth]) -> list[dict[str, Any]]:
    """A row for each layer, truth and nominal length, and a pooled one (nominal_s None) for each layer and truth.

    Errors are measured less truth, in s; truth_s is their median, truth_bound_s the largest bound.
    """
    groups: dict[tuple[str, str, float | None], list[tuple[float, float, float]]] = {}
    for layer, kind, nominal, truth, bound, measured in truths:
        for key in (nominal, None):
            groups.setdefault((layer, kind, key), []).append((truth, bound, measured))
    order = sorted(groups, key=lambda key: (key[0], key[1], key[2] is None, key[2] or 0.0))
    return [_row(*key, groups[key]) for key in order]


def _row(layer: str, kind: str, nominal: float | None, found: list[tuple[float, float, float]]) -> dict[str, Any]:
    truth, bound, measured = (np.array(column) for column in zip(*found, strict=True))
    error = measured - truth
    return {
        "layer": layer,
        "truth": kind,
        "nominal_s": nominal,
        "truth_s": float(np.median(truth)),
        "truth_bound_s": float(bound.max()),
        "bias_s": float(np.median(error)),
        "abs_error_median_s": float(np.median(np.abs(error))),
        "abs_error_p95_s": float(np.percentile(np.abs(error), 95)),
        "n": len(found),
    }


def network_truths(recording: Recording) -> Iterator[Truth]:
    """Blackouts by echo against cuts of the instance's port and pauses of the VM, over each family that was probed; the
    second one's is a layer of its own."""
    for layer, over in (("network", family.FIRST), (f"network {family.SECOND}", family.SECOND)):
        view = recording.over(over)
        if over != family.FIRST and view.table("echo_sent").is_empty():
            continue
        packets = Packets.of(view, end_of(view))
        for kind in ("cut", "pause"):
            for nominal, span, bound in _holds(recording, kind):
                gap = network.blackout(packets, span)
                if gap is not None:
                    yield layer, kind, nominal, (span[1] - span[0]) / NS, bound, gap.blackout_s


def vm_truths(recording: Recording) -> Iterator[Truth]:
    """The pause by QEMU's own stamps of STOP and RESUME against the stamps around the commands that made it."""
    clock = recording.wall_clock
    events = recording.table("qmp_event").filter(pl.col("event").is_in(["STOP", "RESUME"]))
    at = to_mono(clock, events["event_wall_ns"].to_numpy(), events["recv_ns"].to_numpy())
    stamps = list(zip(events["event"].to_list(), at.tolist(), strict=True))
    for nominal, span, bound in _holds(recording, "pause"):
        near = [(event, at) for event, at in stamps if span[0] - bound * NS - 1e8 <= at <= span[1] + bound * NS + 1e8]
        stop = [at for event, at in near if event == "STOP"]
        resume = [at for event, at in near if event == "RESUME"]
        if len(stop) == len(resume) == 1:
            yield "vm", "pause", nominal, (span[1] - span[0]) / NS, bound, (resume[0] - stop[0]) / NS


def http_truths(recording: Recording) -> Iterator[Truth]:
    """HTTP blackouts, of new and of kept connections alike, against held answers.

    A visit is only late after the threshold of the metric, so a hold of N makes a blackout of N less that threshold:
    that is the truth here. A shorter one makes none and says nothing of the error, so it does not count.
    """
    if (before := _quiet(recording, "http")) is None:
        return
    for kind in http.KINDS:
        visits = http.Visits.of(recording.table("visit"), kind)
        late_after = visits.late_after_ns(before)
        for nominal, span, bound in _holds(recording, "http"):
            truth = (span[1] - span[0] - late_after) / NS
            if truth > 0:
                yield "http", "hold", nominal, truth, bound, http.blackout(visits, late_after, span).seconds


def player_truths(recording: Recording) -> Iterator[Truth]:
    """The stall of a player without any buffer, which is how late the media came, against held segments."""
    if (before := _quiet(recording, "player")) is None:
        return
    for viewer in viewers(recording).values():
        for nominal, span, bound in _holds(recording, "player"):
            late = viewer.lateness_s(before, (span[0], span[1] + 1))
            if not isinstance(late, str):
                yield "player", "hold", nominal, (span[1] - span[0]) / NS, bound, late.stall_s(0.0)


def accuracy(recording: Recording) -> list[dict[str, Any]]:
    """All rows of a calibration's recording, with the condition under which it was made."""
    truths = [
        *network_truths(recording), *vm_truths(recording), *http_truths(recording), *player_truths(recording),
    ]  # fmt: skip
    condition = recording.trial.facts["condition"]
    return [condition | row for row in rows(truths)]


def _quiet(recording: Recording, kind: str) -> Span | None:
    """Three seconds that end well before the first hold of that kind met a request. None where nothing was held."""
    first = recording.table("hold").filter(pl.col("kind") == kind)["from_ns"].min()
    return (first - 3 * SECOND, first - SECOND // 10) if isinstance(first, int) else None


def _holds(recording: Recording, kind: str) -> Iterator[tuple[float, Span, float]]:
    table = recording.table("hold").filter(pl.col("kind") == kind).sort("from_ns")
    for nominal, start, end, bound in table.select("nominal_s", "from_ns", "until_ns", "bound_ns").rows():
        yield nominal, (start, end), bound / NS
