"""What the capture of a run says beside the probes and the visitors' sockets.

    .venv/bin/python benchmarks/second_meter.py RUN...

RUN: a run folder whose plan has a capture (`migrascope run thesis` makes one). For each figure what both meters say in
the median trial, how far they are apart at worst, and the bound that this is held against.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from common import machine, verdict
from migrascope.metrics.packets import Packets
from migrascope.metrics.windows import end_of
from migrascope.qos.examine import examine
from migrascope.qos.result import FlowQos, Qos
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder


@dataclass(frozen=True)
class Pair:
    """One figure by both meters. bound: how far they may be apart, in the figure's unit."""

    ours: float
    captured: float
    bound: float

    @property
    def apart(self) -> float:
        return abs(self.captured - self.ours)

    @property
    def agrees(self) -> bool:
        return self.apart <= self.bound


def pairs(recording: Recording) -> dict[str, Pair]:
    """Every figure that both meters have of a trial. ValueError for one without a capture.

    Echo requests lost: the same. Their median round trip: within 5 % or 50 us, since the probe stamps before it sends;
    their mean: within 10 %. Segments that kept connections had to send again: within 2, for a socket that is closed
    tells nothing of its last segment. Payload received: within 3 %, for what came twice was captured twice.
    """
    if recording.capture is None:
        raise ValueError(f"trial {recording.trial.number} has no capture")
    qos = examine(recording.capture)
    return {**_echo(recording, qos), **_tcp(recording, qos)}


def _echo(recording: Recording, qos: Qos) -> dict[str, Pair]:
    packets = Packets.of(recording, end_of(recording))
    asked = max(
        (direction for flow in qos.flows if flow.protocol == "icmp" for direction in flow.directions),
        key=lambda direction: direction.counts["requests"],
    )
    trips = packets.rtt_ns[packets.rtt_ns >= 0] / 1e9
    middle, mean = float(np.median(trips)), float(trips.mean())
    seen = {key: _value(asked.metrics[key].value) for key in ("delay_p50_s", "delay_s")}
    return {
        "echo requests lost": Pair(int((packets.rtt_ns < 0).sum()), asked.counts["lost"], 0),
        "echo round trip, median [s]": Pair(
            middle, _value(asked.metrics["delay_p50_s"].value), max(0.05 * middle, 5e-5)
        ),
        "echo round trip, mean [s]": Pair(mean, seen["delay_s"], 0.1 * mean),
    }


def kept(qos: Qos) -> list[FlowQos]:
    """TCP's flows that lasted for half of the capture: a new connection is closed after its visit, however long a
    blackout held it up."""
    return [flow for flow in qos.flows if flow.protocol == "tcp" and flow.duration_s > qos.totals.duration_s / 2]


def _tcp(recording: Recording, qos: Qos) -> dict[str, Pair]:
    last = (
        recording.table("tcp_info")
        .group_by("source", "flow")
        .agg(pl.col("kind").first(), pl.col("total_retrans").max(), pl.col("bytes_received").max())
    )
    flows = [flow for flow in qos.flows if flow.protocol == "tcp"]
    again = sum(
        direction.counts["retransmitted"]
        for flow in kept(qos)
        for direction in flow.directions
        if direction.receiver.endswith(":80")
    )
    captured = sum(
        direction.counts["payload_bytes"]
        for flow in flows
        for direction in flow.directions
        if direction.sender.endswith(":80")
    )
    received = int(last["bytes_received"].sum())
    told = int(last.filter(pl.col("kind") != "new")["total_retrans"].sum())
    return {
        "segments sent again": Pair(told, again, 2),
        "payload received [B]": Pair(received, captured, 0.03 * received),
    }


def _value(value: float | None) -> float:
    assert value is not None
    return value


def table(runs: list[RunFolder]) -> str:
    """The machine, and a row for each figure."""
    found = [pairs(recording) for run in runs for recording in run.recordings() if recording.trial.status == "ok"]
    lines = [f"{machine(runs[0].manifest)}; {len(found)} trials"]
    lines.append(f"{'':30}{'probes, sockets':>16}{'capture':>12}{'apart at worst':>16}{'bound there':>13}")
    for name in found[0]:
        rows = [each[name] for each in found]
        worst = max(rows, key=lambda pair: pair.apart - pair.bound)
        medians: list[Callable[[Pair], float]] = [lambda pair: pair.ours, lambda pair: pair.captured]
        ours, captured = (float(np.median([each(pair) for pair in rows])) for each in medians)
        met = verdict(all(pair.agrees for pair in rows))
        lines.append(f"{name:30}{ours:>16.6g}{captured:>12.6g}{worst.apart:>16.3g}{worst.bound:>13.3g}  {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([RunFolder(Path(name)) for name in sys.argv[1:]]))
