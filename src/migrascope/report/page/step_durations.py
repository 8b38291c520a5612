"""Where the seconds of migrations on OpenStack go, by step, and their blackouts, by cause. Pure."""

from statistics import fmean
from typing import Any

from migrascope.analysis.results import Cell, TrialResult
from migrascope.analysis.summary import Summary
from migrascope.metrics import blackout_steps
from migrascope.metrics.steps import STEPS
from migrascope.model.family import key_of
from migrascope.model.units import human
from migrascope.report.charts.stack import NOTE, Look, Scale, drawn
from migrascope.report.columns import DASH, cell_name
from migrascope.report.page.downtimes import downtimes

KEYS = {name: f"step_s.{name}" for name in STEPS}
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


NUMBERS = {name: str(number) for number, name in enumerate(STEPS, start=1)}
NAMES = {name: name.replace("_", " ") for name in STEPS}
LOOK = Look("s", 2, NAMES, {name: f"phase-{phase}" for name, phase in PHASES.items()}, NUMBERS, fits=2.5)
SHARES_LOOK = Look("ms", 0, SHARES, {part: f"share-{part}" for part in SHARES})
Bar = tuple[str, dict[str, float]]


def bars(summary: Summary, shown: list[str]) -> list[Bar]:
    """The steps of each cell: means in s, since means add up. Empty where no trial has any."""
    found = []
    for cell in summary.cells:
        trials = summary.counted(cell.factors)
        means = {name: fmean(values) for name, key in KEYS.items() if (values := _values(trials, key))}
        found.append((cell_name(cell.factors, shown), means))
    return found if any(means for _, means in found) else []


def shares(summary: Summary, shown: list[str]) -> list[Bar]:
    """The blackout of each cell and direction in ms: means of its parts."""
    return [
        share
        for cell in summary.cells
        for share in _shares(cell_name(cell.factors, shown), summary.counted(cell.factors))
    ]


def steps(summary: Summary, shown: list[str]) -> dict[str, Any] | None:
    """The steps of each cell: a bar of means, and a table of medians with the bound. The network's share of the
    blackout, the blackout's own steps, and the downtime as each layer counts it. None where no trial has any."""
    found, split = bars(summary, shown), shares(summary, shown)
    if not found:
        return None
    rows = [
        {
            "number": NUMBERS[name],
            "name": NAMES[name],
            "phase": PHASES[name],
            "what": what,
            "values": [_median(cell, KEYS[name]) for cell in summary.cells],
            "told": _told(summary.trials, KEYS[name]),
        }
        for name, what in STEPS.items()
    ]
    return {
        "bars": _drawn(found, 1.02, LOOK),
        "rows": rows,
        "cells": [name for name, _ in found],
        "shares": _drawn(split, 1.12, SHARES_LOOK),
        "share_names": SHARES,
        "blackout": _blackout(summary),
        "note": NOTE if any(size < 0 for _, parts in found + split for size in parts.values()) else "",
        "downtimes": downtimes(summary),
    }


def _blackout(summary: Summary) -> list[dict[str, Any]]:
    """The steps of the network blackout as rows of a table: medians. Empty where no trial has any."""
    words = {**blackout_steps.STEPS, blackout_steps.UNEXPLAINED: "what none of these took"}
    keys = {f"blackout_step_s.{name}": (name.replace("_", " "), what) for name, what in words.items()}
    keys |= {key_of(key): (f"{name}, IPv6", what) for key, (name, what) in keys.items()}
    rows = []
    for key, (name, what) in keys.items():
        if _values(summary.trials, key):
            values = [_median(cell, key) for cell in summary.cells]
            rows.append({"name": name, "what": what, "values": values, "told": _told(summary.trials, key)})
    return rows


def _drawn(found: list[Bar], room: float, look: Look) -> list[tuple[str, dict[str, Any]]]:
    scale = Scale.of([parts for _, parts in found], room)
    return [(name, drawn(parts, scale, look)) for name, parts in found]


def _shares(cell: str, trials: list[TrialResult]) -> list[Bar]:
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
            parts = {name: fmean(row[name] for row in there) * 1e3 for name in SHARES}
            found.append((f"{cell}, {ways[0]} → {ways[1]}", parts))
    return found


def _split(trial: TrialResult) -> dict[str, float] | None:
    """In s. early and late are lengths of stretches that may not be there; the first reply is below zero where it came
    before the first frame, which two clocks that differ can show."""
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
    return {"early": max(0.0, -left), "pause": pause, "late": late, "reply": reply - late}


def _values(trials: list[TrialResult], key: str) -> list[float]:
    found = [trial.metrics[key].value for trial in trials if key in trial.metrics]
    return [value for value in found if value is not None]


def _median(cell: Cell, key: str) -> str:
    statistic = cell.metrics.get(key)
    return (statistic and statistic.text("median", lambda value: human(value, "s"))) or DASH


def _told(trials: list[TrialResult], key: str) -> str:
    """Which sources told the step, and how exactly, in the trial that knew it worst."""
    known = [trial.metrics[key] for trial in trials if key in trial.metrics and trial.metrics[key].value is not None]
    if not known:
        return next((trial.metrics[key].reason or "" for trial in trials if key in trial.metrics), "")
    worst = max(known, key=lambda measured: measured.bound or 0.0)
    return f"{worst.source} (±{human(worst.bound, 's')})" if worst.bound else worst.source
