"""The observer's effect: the same migration with all probes and with none, in interleaved pairs.

    sudo .venv/bin/python benchmarks/observer.py [PAIRS]

Idle guest. For migration time, data and VM pause, the median of the pair ratios (with / without) and its 90 % interval
by order statistics. Goal: the upper end at most 1.03 for time and data, 1.10 for VM pause.
"""

import sys
from pathlib import Path

import numpy as np

from common import machine, run_plan, verdict
from migrascope.analysis.statistics import median_interval
from migrascope.metrics.trial import measure
from migrascope.model.plan import Plan
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import parse

GOALS = {"migration_time_s": 1.03, "data_transferred_bytes": 1.03, "vm_pause_s": 1.10}


def plan(pairs: int) -> Plan:
    """Pairs of trials that differ in their probes alone; the seed shuffles each pair's order."""
    text = (Path(__file__).parent.parent / "examples/observer.toml").read_text(encoding="utf-8")
    return parse(text, "observer").model_copy(update={"blocks": pairs})


def ratios(run: RunFolder) -> dict[str, list[float]]:
    """With / without, pair by pair, of each metric. ValueError if a trial failed or did not measure one."""
    pairs: dict[int, dict[str, dict[str, float]]] = {}
    for recording in run.recordings():
        trial = recording.trial
        if trial.status != "ok":
            raise ValueError(f"trial {trial.number} failed: {trial.reason}")
        found = measure(recording)
        pairs.setdefault(trial.block, {})[trial.factors.probes] = {key: found[key].value or 0.0 for key in GOALS}
    return {key: [pair["all"][key] / pair["none"][key] for pair in pairs.values()] for key in GOALS}


def table(run: RunFolder) -> str:
    """The machine, and a row for each metric."""
    lines = [machine(run.manifest), f"{'all probes / none':26}{'median':>9}{'90 % interval':>18}{'goal':>8}"]
    for key, found in ratios(run).items():
        interval = median_interval(found, 0.9)
        if interval is None:
            raise ValueError("six pairs at least")
        low, high = interval.low, interval.high
        goal = GOALS[key]
        row = f"{key:26}{np.median(found):9.3f}{f'{low:.3f} to {high:.3f}':>18}{goal:8.2f}  {verdict(high <= goal)}"
        lines.append(f"{row}  (n = {len(found)})")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(run_plan(plan(int(sys.argv[1]) if len(sys.argv) > 1 else 20))))
