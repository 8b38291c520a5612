"""The observer's effect: the same migration with all probes and with none, in interleaved pairs.

    sudo .venv/bin/python benchmarks/observer.py [PAIRS [FAMILY ...] [libvirt]]

Idle guest, over ipv4 by default; of two families each is asked half as often. On the lab qemu, unless libvirt is
named. For migration time, data and VM pause, the median of the pair ratios (with / without) and its 90 % interval by
order statistics. Goal: the upper end at most 1.03 for time and data, 1.10 for VM pause.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import machine, run_plan, verdict
from migrascope.analysis.statistics import Interval, median_interval
from migrascope.metrics.trial import examine
from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.plan import Plan
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import parse

GOALS = {"migration_time_s": 1.03, "data_transferred_bytes": 1.03, "vm_pause_s": 1.10}


def plan(pairs: int, families: Sequence[Family] = (FIRST,), lab: str = "qemu") -> Plan:
    """Pairs of trials that differ in their probes alone; the seed shuffles each pair's order."""
    text = (Path(__file__).parent.parent / "examples/observer.toml").read_text(encoding="utf-8")
    made = parse(text, "observer")
    probes = made.probes.model_copy(update={"echo_rate": made.probes.echo_rate / len(families)})
    on = made.lab.model_copy(update={"kind": lab})
    return made.model_copy(update={"blocks": pairs, "families": list(families), "probes": probes, "lab": on})


def figures(recording: Recording, keys: Iterable[str]) -> dict[str, float]:
    """These metrics of a trial. ValueError if it failed or did not measure one."""
    trial, measured = recording.trial, examine(recording).metrics
    if trial.status != "ok":
        raise ValueError(f"trial {trial.number} failed: {trial.reason}")
    if absent := [f"{key}: {measured[key].reason}" for key in keys if measured[key].value is None]:
        raise ValueError(f"trial {trial.number}: {'; '.join(absent)}")
    return {key: measured[key].value or 0.0 for key in keys}


def pair_ratios(run: RunFolder, goals: Mapping[str, float]) -> dict[str, list[float]]:
    """With / without, pair by pair, of each metric. ValueError if a trial failed or did not measure one."""
    pairs: dict[int, dict[str, dict[str, float]]] = {}
    for recording in run.recordings():
        trial = recording.trial
        pairs.setdefault(trial.block, {})[trial.factors.probes] = figures(recording, goals)
    return {key: [pair["all"][key] / pair["none"][key] for pair in pairs.values()] for key in goals}


def rows(
    facts: dict[str, Any],
    ratios: dict[str, list[float]],
    goals: Mapping[str, float],
    met: Callable[[Interval, float], bool],
    title: str = "all probes / none",
) -> str:
    """The machine, and a row for each metric. met: whether an interval of the ratio meets a goal."""
    lines = [machine(facts), f"{title:26}{'median':>9}{'90 % interval':>18}{'goal':>8}"]
    for key, found in ratios.items():
        interval = median_interval(found, 0.9)
        if interval is None:
            raise ValueError("six pairs at least")
        between = f"{interval.low:.3f} to {interval.high:.3f}"
        row = f"{key:26}{np.median(found):9.3f}{between:>18}{goals[key]:8.2f}  {verdict(met(interval, goals[key]))}"
        lines.append(f"{row}  (n = {len(found)})")
    return "\n".join(lines)


def table(run: RunFolder) -> str:
    """The machine, and a row for each metric."""
    return rows(run.manifest, pair_ratios(run, GOALS), GOALS, lambda interval, goal: interval.high <= goal)


if __name__ == "__main__":
    over = [family for family in (FIRST, SECOND) if family in sys.argv[2:]] or [FIRST]
    lab = "libvirt" if "libvirt" in sys.argv[2:] else "qemu"
    print(table(run_plan(plan(int(sys.argv[1]) if len(sys.argv) > 1 else 20, over, lab))))
