"""The meter against known cuts, beside two other methods on the same cuts in the same run.

    sudo .venv/bin/python benchmarks/meter.py [REPEATS]

- ours: echo at 500/s, network blackout;
- "ping 200 ms": Tempest's method, a ping every 200 ms, lost ones times the interval;
- "ping 10 ms": a ping every 10 ms, lost ones times the interval.

Goal: pooled |error| of ours at most 1 ms in the median and 2.5 ms at p95.
"""

import sys
from collections.abc import Iterator

import numpy as np
import polars as pl

from common import folder, machine, verdict, with_images
from migrascope.analysis.accuracy import network_truths
from migrascope.metrics.network import lost_time_s
from migrascope.metrics.packets import NS, Packets, to_mono
from migrascope.metrics.windows import end_of
from migrascope.model.calibration import Condition
from migrascope.model.plan import Plan
from migrascope.store import spool
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.study.runs.calibrate import record
from migrascope.trial.calibration_trial import Series

METER, TEMPEST, FAST = 500.0, 5.0, 100.0


def beside(recording: Recording, rate: float) -> Packets:
    """What the prober of another rate saw at the same time."""
    there = recording.folder / f"beside-{rate:g}"
    _, sent = spool.read(there / "echo_sent@echo.jsonl")
    _, reply = spool.read(there / "echo_reply@echo.jsonl")
    seq, wall, read = (np.array(column, dtype=np.int64) for column in zip(*reply, strict=True))
    arrived = to_mono(recording.wall_clock, wall, read)
    return Packets.match([row[0] for row in sent], [row[2] for row in sent], seq, arrived, end_of(recording))


def errors_of_peer(recording: Recording, rate: float) -> Iterator[float]:
    """Lost time less truth, s, for each cut, counting what was sent while it lasted and 50 ms around it."""
    packets = beside(recording, rate)
    cuts = recording.table("hold").filter(pl.col("kind") == "cut")
    for start, end in cuts.select("from_ns", "until_ns").rows():
        yield lost_time_s(packets, (start - 50_000_000, end + 50_000_000)) - (end - start) / NS


def measured(repeats: int) -> RunFolder:
    """Cuts, pauses and holds, seen by the three probers at once."""
    rates = (METER, TEMPEST, FAST)
    series = Series(repeats=repeats)
    return with_images(
        lambda images, progress: record(Plan(), images, series, rates, folder(), progress, (Condition(),))
    )


def table(run: RunFolder) -> str:
    """The machine, a row for each method, and whether the goal is met."""
    recording = run.recordings()[0]
    ours = [measured - truth for _, kind, _, truth, _, measured in network_truths(recording) if kind == "cut"]
    found = {
        "ours, 500/s": np.array(ours),
        "ping 200 ms (Tempest)": np.array(list(errors_of_peer(recording, TEMPEST))),
        "ping 10 ms": np.array(list(errors_of_peer(recording, FAST))),
    }
    lines = [
        machine(run.manifest),
        f"known cuts of 10 to 1000 ms, n = {len(ours)}; |error| in ms",
        f"{'method':24}{'median':>10}{'p95':>10}{'worst':>10}",
    ]
    for name, error in found.items():
        size = np.abs(error) * 1e3
        lines.append(f"{name:24}{np.median(size):10.2f}{np.percentile(size, 95):10.2f}{size.max():10.2f}")
    size = np.abs(found["ours, 500/s"]) * 1e3
    met = bool(np.median(size) <= 1 and np.percentile(size, 95) <= 2.5)
    return "\n".join([*lines, f"goal (median 1 ms, p95 2.5 ms): {verdict(met)}"])


if __name__ == "__main__":
    print(table(measured(int(sys.argv[1]) if len(sys.argv) > 1 else 10)))
