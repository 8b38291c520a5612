"""What the echo prober costs and how punctual it is in the trials of a run, and what a capture costs if there is one.

    .venv/bin/python benchmarks/prober.py RUN

Goal: at most 5 % of a core at 500/s.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

from common import machine, verdict
from migrascope.store.recording import Recording
from migrascope.store.runfolder import find_run


def share(recording: Recording, process: str) -> float:
    """CPU seconds of a program for each second in which the prober sent."""
    sent = recording.table("echo_sent")["sent_ns"]
    rows = recording.table("process_cpu").filter(
        (pl.col("process") == process) & pl.col("mono_ns").is_between(sent[0], sent[-1])
    )
    used = float(rows["cpu_s"][-1]) - float(rows["cpu_s"][0])
    return used / ((int(rows["mono_ns"][-1]) - int(rows["mono_ns"][0])) / 1e9)


def packets_per_second(recordings: list[Recording]) -> float:
    """What the captures took, the median trial."""
    rates = []
    for recording in recordings:
        table = recording.table("capture")
        rates.append(int(table["packets"].sum()) / ((int(table["mono_ns"][-1]) - int(table["mono_ns"][0])) / 1e9))
    return float(np.median(rates))


def dropped(recording: Recording) -> int:
    return int(recording.table("capture")["drops"].sum())


def main() -> None:
    run = find_run(Path("runs"), sys.argv[1] if len(sys.argv) > 1 else "-1")
    recordings = run.recordings()
    shares = [100 * share(recording, "echo") for recording in recordings]
    late = [
        float(np.percentile((sent["sent_ns"] - sent["due_ns"]).to_numpy(), 99)) / 1e6
        for sent in (recording.table("echo_sent") for recording in recordings)
    ]
    print(machine(run.manifest))
    print(f"echo at {recordings[0].trial.plan['probes']['echo_rate']:g}/s in {len(shares)} trials")
    print(f"share of a core: median {np.median(shares):.1f} %, worst {max(shares):.1f} %")
    print(f"lateness p99 of a trial: median {np.median(late):.2f} ms, worst {max(late):.2f} ms")
    if recordings[0].capture is not None:
        captured = [100 * share(recording, "sniffer") for recording in recordings]
        print(
            f"capture, {packets_per_second(recordings):.0f} packets/s: median {np.median(captured):.1f} %, "
            f"worst {max(captured):.1f} %, {sum(dropped(recording) for recording in recordings)} packets dropped"
        )
    print("goal (5 % of a core, median trial):", verdict(bool(np.median(shares) <= 5)))


if __name__ == "__main__":
    main()
