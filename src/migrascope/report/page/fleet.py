"""What a fleet's migrations cost: a table for the terminal and the page."""

from collections.abc import Callable
from typing import Any

from migrascope.analysis.fleet import SLOWER, FleetCost, Slowdown
from migrascope.analysis.results import Statistic
from migrascope.analysis.summary import Summary
from migrascope.model.units import at_least_text, human
from migrascope.report.columns import DASH

HEADS = [
    "Instances", "Scenario", "Migrated", "All of them", "At once", "Request to end", "Waited", "Migration", "Blackout",
    "Slower from request", "Slower migration", "Longer blackout",
]  # fmt: skip
NOTE = (
    "Medians over the instances of a trial, then over the trials, with the interval of that from six trials on; slower "
    "and longer: times that of the one alone in the same block. The figures of each instance are in the JSON and the "
    "CSV as fleet.vm-N."
)
Shown = tuple[str, str]
"""A figure and its interval as text; "" where there is none."""


def table(summary: Summary) -> dict[str, Any] | None:
    """Heads, rows of figures with their intervals, and the note; None where the run has no fleet."""
    found = summary.fleet
    return {"heads": HEADS, "rows": [_row(cost) for cost in found], "note": NOTE} if found else None


def _row(cost: FleetCost) -> list[Shown]:
    metrics = cost.cell.metrics
    return [
        (str(cost.cell.factors.instances), ""),
        (cost.cell.factors.scenario, ""),
        _shown(metrics["fleet.migrated"], _count),
        _shown(cost.total, _seconds),
        _shown(metrics["fleet.at_once"], _count),
        *(_shown(figure, _seconds) for figure in cost.figures.values()),
        *(_times(cost.slowdown.get(key)) for key in SLOWER),
    ]


def _shown(figure: Statistic, text: Callable[[float], str]) -> Shown:
    median, low, high = (figure.text(name, text) for name in ("median", "low", "high"))
    return median or DASH, "" if low is None or high is None else f"{low}–{high}"


def _times(slower: Slowdown | None) -> Shown:
    if slower is None:
        return DASH, ""
    ratio, low, high = (
        None if value is None else at_least_text(f"{value:.2f}", at_least=name in slower.at_least)
        for name, value in (("median", slower.ratio), ("low", slower.low), ("high", slower.high))
    )
    return ratio or DASH, "" if low is None or high is None else f"{low}–{high}"


def _seconds(value: float) -> str:
    return human(value, "s")


def _count(value: float) -> str:
    return f"{value:g}"
