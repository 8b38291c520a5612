"""Where the seconds of migrations on OpenStack go, by step, and their blackouts, by cause. Pure."""

from statistics import fmean
from typing import Any

from migrascope.analysis.summary import Cell, Summary, TrialResult
from migrascope.metrics.steps import STEPS
from migrascope.model.units import human
from migrascope.report.columns import DASH, cell_name
from migrascope.report.downtimes import downtimes

PHASES = {
    "accept": "nova", "scheduling": "nova", "check_destination": "nova", "check_source": "nova", "port_binding": "nova",
    "dispatch": "nova", "pre_live_migration": "prepare", "start": "prepare", "copy": "copy", "switchover": "switchover",
    "port_activation": "after", "post_live_migration": "after", "completion": "after",
}  # fmt: skip
"""Which colour a step has."""
SHARES = {
    "early": "the source still runs, its frames go to the destination",
    "pause": "VM pause",
    "late": "the destination runs, its frames do not come",
    "reply": "the first reply",
}


def steps(summary: Summary, shown: list[str]) -> dict[str, Any] | None:
    """The steps of each cell: a bar of means, since means add up, and a table of medians with the bound. The network's
    share of the blackout likewise, and the downtime as each layer counts it. None where no trial has any."""
    keys = {name: f"step_s.{name}" for name in STEPS}
    if not any(_values(summary.trials, key) for key in keys.values()):
        return None
    bars: list[dict[str, Any]] = []
    shares: list[tuple[str, dict[str, float]]] = []
    for cell in summary.cells:
        trials = summary.counted(cell.factors)
        means = {name: fmean(values) for name, key in keys.items() if (values := _values(trials, key))}
        bars.append({"name": cell_name(cell.factors, shown), "parts": means, "n": len(trials)})
        shares += _shares(cell_name(cell.factors, shown), trials)
    rows = [
        {
            "number": number,
            "name": name.replace("_", " "),
            "phase": PHASES[name],
            "what": what,
            "values": [_median(cell, keys[name]) for cell in summary.cells],
            "told": _told(summary.trials, keys[name]),
        }
        for number, (name, what) in enumerate(STEPS.items(), start=1)
    ]
    return {
        "bars": bars,
        "end": max(sum(max(0.0, part) for part in bar["parts"].values()) for bar in bars) or 1.0,
        "rows": rows,
        "cells": [bar["name"] for bar in bars],
        "phases": PHASES,
        "numbers": {name: number for number, name in enumerate(STEPS, start=1)},
        "shares": shares,
        "shares_end": max((sum(parts.values()) for _, parts in shares), default=1.0) * 1.12,
        "share_names": SHARES,
        "downtimes": downtimes(summary),
    }


def _shares(cell: str, trials: list[TrialResult]) -> list[tuple[str, dict[str, float]]]:
    """The blackout of each direction in ms, its parts one after another: what the network left early, the pause, what
    it brought late, and the rest until the first reply. Means over the trials of one direction."""
    found = []
    for ways in dict.fromkeys((t.facts.source, t.facts.destination) for t in trials):
        there = []
        for trial in trials:
            seen = _split(trial) if (trial.facts.source, trial.facts.destination) == ways else None
            if seen is not None:
                there.append(seen)
        if there:
            parts = {name: fmean(one[name] for one in there) * 1e3 for name in SHARES}
            found.append((f"{cell}, {ways[0]} → {ways[1]}", parts))
    return found


def _split(trial: TrialResult) -> dict[str, float] | None:
    values = {
        key: trial.metrics[key].value
        for key in ("wiring.left_s", "wiring.came_s", "vm_pause_s", "budget.until_reply_s")
        if key in trial.metrics
    }
    left, came, pause, reply = (
        values.get(key) for key in ("wiring.left_s", "wiring.came_s", "vm_pause_s", "budget.until_reply_s")
    )
    if left is None or came is None or pause is None or reply is None:
        return None
    late = max(0.0, came - pause)
    return {"early": max(0.0, -left), "pause": pause, "late": late, "reply": max(0.0, reply - late)}


def _values(trials: list[TrialResult], key: str) -> list[float]:
    found = [trial.metrics[key].value for trial in trials if key in trial.metrics and trial.facts.status == "ok"]
    return [value for value in found if value is not None]


def _median(cell: Cell, key: str) -> str:
    statistic = cell.metrics.get(key)
    return human(statistic.median, "s") if statistic is not None and statistic.median is not None else DASH


def _told(trials: list[TrialResult], key: str) -> str:
    """Which sources told the step, and how exactly, in the trial that knew it worst."""
    known = [trial.metrics[key] for trial in trials if key in trial.metrics and trial.metrics[key].value is not None]
    if not known:
        return next((trial.metrics[key].reason or "" for trial in trials if key in trial.metrics), "")
    worst = max(known, key=lambda one: one.bound or 0.0)
    return f"{worst.source} (±{human(worst.bound, 's')})" if worst.bound else worst.source
