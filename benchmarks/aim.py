"""How late disturbances take effect that are aimed at a phase of the migration, by kind and phase.

    sudo .venv/bin/python benchmarks/aim.py [RUN...]

Reads the table `disturbance` of these runs, all of one lab; without one it makes a run of its own on the QEMU lab,
which takes about half an hour. The goal is that the 95th percentile is within the lab's limit (LATE_S). Those whose
phase never came, or which were refused, are counted apart: they have no lateness. Also says how late the source's
events are read by which phases begin, in trials without disturbances, too: nothing can take effect before.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from common import machine, run_plan, verdict
from migrascope.model.disturbance import LATE_S
from migrascope.model.kinds import KINDS
from migrascope.model.phase import phase_of
from migrascope.model.plan import Plan
from migrascope.store.runfolder import RunFolder

PHASES = ("setup", "first-copy", "round:2", "switchover")
_ROW = "{:<34} {:>6} {:>8} {:>8} {:>8} {:>6}"


def plan() -> Plan:
    """Every kind that can be aimed, at each phase, and at a switchover that waits for it."""
    tables = [
        {"name": f"{name}-{phase.replace(':', '-')}", "when": phase, **given}
        for name, given in _aimed().items()
        for phase in PHASES
    ]
    tables += [
        {"name": f"{name}-held", "when": "switchover", "hold": True, **given} for name, given in _aimed().items()
    ]
    return Plan.model_validate(
        {
            "name": "aim",
            "blocks": 1,
            "axes": {
                "scenario": ["none"],
                "memory": ["512MiB"],
                "write_rate": ["20MB/s"],
                "working_set": ["64MiB"],
                "disturbance": [table["name"] for table in tables],
            },
            "windows": {"before": "1s", "limit": "10s"},
            "visitors": {"new_rate": 20, "kept_rate": 20, "viewers": 0},
            "disturbance": tables,
        }
    )


def _aimed() -> dict[str, dict[str, Any]]:
    doses: dict[str, Any] = {
        "rate": "500mbit",
        "loss": "0.1%",
        "delay": "1ms",
        "workers": 1,
        "working_set": "64MiB",
        "write_rate": "2MB/s",
    }
    made = {}
    for name, kind in KINDS.items():
        if "qemu" in kind.labs and not kind.in_guest:
            given: dict[str, Any] = {"kind": name} | {key: doses[key] for key in kind.needs}
            if kind.targets:
                there = [target for target in kind.targets if name != "no-space" or target == "storage"]
                given["target"] = "destination" if "destination" in there else there[0]
            made[name] = given if kind.instant else given | {"duration": "300ms"}
    return made


def measured() -> RunFolder:
    """The run of that plan."""
    return run_plan(plan())


def lateness(runs: Iterable[RunFolder]) -> dict[tuple[str, str], list[float | None]]:
    """Lateness (ms) of what was aimed at a phase, by kind and phase; None for what did not take effect."""
    found = defaultdict(list)
    for run in runs:
        for recording in run.recordings():
            for row in recording.table("disturbance").rows(named=True):
                if row["when"] not in ("trial", "window"):
                    phase = f"{row['when']}, held" if "held" in row["note"] else row["when"]
                    late = (row["effect_ns"] - row["due_ns"]) / 1e6 if row["effect_ns"] else None
                    found[(row["kind"], phase)].append(late)
    return dict(found)


def heard(runs: Iterable[RunFolder]) -> list[float]:
    """How long (ms) after its stamp each event was read by which the source's QEMU begins a phase. Of labs whose hosts
    have this machine's clock."""
    return [
        (row["recv_ns"] - recording.wall_clock.to_mono(row["event_wall_ns"])) / 1e6
        for run in runs
        for recording in run.recordings()
        for row in recording.table("qmp_event").filter(pl.col("host") == recording.trial.source).rows(named=True)
        if phase_of(row["event"], json.loads(row["data"] or "{}"))
    ]


def told(runs: Sequence[RunFolder]) -> str:
    """Of these runs, a line."""
    late = heard(runs)
    spread = f"{np.median(late):.1f} ms in the median, {np.percentile(late, 95):.1f} at p95, {max(late):.1f} at worst"
    return f"phases are read {spread} after they began ({len(late)})"


def table(found: dict[tuple[str, str], list[float | None]], goal_s: float = LATE_S["qemu"]) -> str:
    """A line for each kind and phase, and one for all. goal_s: at p95."""
    lines = [_ROW.format("kind and phase", "n", "median", "p95", "worst", "never")]
    together = [late for lates in found.values() for late in lates]
    for name, lates in [*((f"{kind} {phase}", found[kind, phase]) for kind, phase in sorted(found)), ("all", together)]:
        measured = [late for late in lates if late is not None]
        spread = [np.median(measured), np.percentile(measured, 95), max(measured)] if measured else []
        shown = [f"{value:.1f}" for value in spread] or ["", "", ""]
        lines.append(_ROW.format(name, len(measured), *shown, len(lates) - len(measured)))
    effects = [late for late in together if late is not None]
    if not effects:
        return "nothing was aimed at a phase"
    p95 = np.percentile(effects, 95)
    return "\n".join([*lines, f"p95 {p95:.1f} ms, goal {1e3 * goal_s:g} ms: {verdict(bool(p95 <= 1e3 * goal_s))}"])


def main() -> None:
    runs = [RunFolder(Path(path)) for path in sys.argv[1:]] or [measured()]
    facts = runs[0].recordings()[0].trial.facts
    print(machine(facts))
    print(told(runs))
    print(table(lateness(runs), LATE_S[facts["lab"]]))


if __name__ == "__main__":
    main()
