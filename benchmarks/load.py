"""Whether the load fits on two cores: quick plans, quiet and beside other work, and what their figures say.

    sudo .venv/bin/python benchmarks/load.py [openstack | RUN]

It runs `run --quick` once to find a load, then quiet, beside a busy process on one core (nice 0), and beside one on
each core (nice 19). openstack: `run thesis --lab openstack --quick` in its place, quiet and beside one process at
nice 19, on a testbed that is brought up and stays. RUN: a run of the whole plan, whose HTTP and network blackouts are
set beside one another instead.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from common import folder, machine, verdict
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.metrics.load import busy
from migrascope.store.runfolder import RunFolder, find_run

TWO = sorted(os.sched_getaffinity(0))[:2]
WORK = "while True: pass"
Beside = dict[str, tuple[int, int, float | None]]
"""By name: how many busy processes, their niceness, and the goal in seconds."""
QEMU: Beside = {"quiet": (0, 0, 100), "one core busy, nice 0": (1, 0, 200), "both cores busy, nice 19": (2, 19, None)}
OPENSTACK: Beside = {"quiet": (0, 0, None), "one core busy, nice 19": (1, 19, None)}


@contextlib.contextmanager
def other_work(count: int, nice: int) -> Iterator[None]:
    """Busy processes for the length of a with block, one on each of the first cores."""
    argv = ["nice", "-n", str(nice), sys.executable, "-c", WORK]
    busy_ones = [subprocess.Popen(["taskset", "-c", str(TWO[at]), *argv]) for at in range(count)]
    try:
        yield
    finally:
        for process in busy_ones:
            process.kill()
            process.wait()


def quick(runs: Path, *plan: str) -> tuple[Summary, float]:
    """A quick plan on two cores, and how long the command took (s)."""
    began = time.monotonic()
    command = [sys.executable, "-m", "migrascope", "run", *plan, "--quick", "--runs", str(runs)]
    subprocess.run(["taskset", "-c", ",".join(map(str, TWO)), *command], stdout=subprocess.DEVNULL, check=False)
    return analyse(RunFolder(runs / "latest")), time.monotonic() - began


def row(name: str, summary: Summary, took_s: float, limit_s: float | None) -> list[str]:
    good = [trial for trial in summary.trials if trial.facts.status == "ok"]
    shares = [used for trial in good if (used := busy(trial.metrics)) is not None]
    keys = ("load.in_time_ratio.new", "load.in_time_ratio.kept")
    times = [value for trial in good for key in keys if (value := trial.metrics[key].value) is not None]
    met = len(good) == len(summary.trials) and (limit_s is None or took_s <= limit_s)
    return [
        name, f"{len(good)} of {len(summary.trials)}", f"{took_s:.0f} s",
        f"{100 * max(shares):.0f} %" if shares else "—", f"{100 * min(times):.1f} %" if times else "—",
        verdict(met and max(shares, default=1) <= 0.6 and min(times, default=0) >= 0.99),
    ]  # fmt: skip


def blackouts(summary: Summary) -> list[list[str]]:
    """Medians over a run but for its plan's second part: HTTP blackout over network blackout, by kind and scenario."""
    rows = []
    for cell in summary.first_part():
        network = cell.metrics["network_blackout_s"].median
        for kind in ("new", "kept"):
            http = cell.metrics[f"http_{kind}_blackout_s"].median
            if network is None or http is None:
                rows.append([cell.factors.scenario, kind, "—", "—", verdict(False)])
                continue
            least = 3 * network if kind == "kept" else max(3 * network, network + 1)
            rows.append(
                [
                    cell.factors.scenario,
                    kind,
                    f"{1e3 * network:.0f} ms",
                    f"{http / network:.1f}",
                    verdict(http <= least),
                ]
            )
    return rows


def main() -> None:
    openstack = sys.argv[1:] == ["openstack"]
    if len(sys.argv) > 1 and not openstack:
        run = find_run(Path("runs"), sys.argv[1])
        summary = analyse(run)
        print(machine(run.manifest))
        print("scenario | kind | network blackout | HTTP over network | goal: kept 3, new 3 or network + 1 s")
        print("\n".join(" | ".join(blackout) for blackout in blackouts(summary)))
        used = [share for trial in summary.trials if (share := busy(trial.metrics)) is not None]
        print(f"guest's share of a core in before: median {100 * median(used):.0f} %, most {100 * max(used):.0f} %")
        return
    runs = folder()
    plan = ("thesis", "--lab", "openstack") if openstack else ()
    quick(runs, *plan)
    print(machine(json.loads((runs / "latest" / "manifest.json").read_text())))
    print("beside | trials ok | took | guest's core, most | in time, least | goal")
    for name, (count, nice, limit_s) in (OPENSTACK if openstack else QEMU).items():
        with other_work(count, nice):
            print(" | ".join(row(name, *quick(runs, *plan), limit_s)), flush=True)


if __name__ == "__main__":
    main()
