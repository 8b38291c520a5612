"""What a fleet's migrations cost: a table for the terminal and the page."""

from typing import Any

from migrascope.analysis.fleet import SLOWER, FleetCost, fleet_costs
from migrascope.analysis.summary import Summary
from migrascope.metrics.fleet import FIGURES
from migrascope.model.units import human
from migrascope.report.columns import DASH

HEADS = [
    "Instances", "Scenario", "Migrated", "All of them", "At once", "Request to end", "Waited", "Migration", "Blackout",
    "Slower from request", "Slower migration", "Longer blackout",
]  # fmt: skip
NOTE = (
    "Medians over the instances of a trial, then over the trials; slower and longer: times that of the one alone. "
    "The figures of each instance are in the JSON and the CSV as fleet.vm-N."
)


def table(summary: Summary) -> dict[str, Any] | None:
    """Heads, rows and the note, as text; None where the run has no fleet."""
    found = fleet_costs(summary.cells)
    return {"heads": HEADS, "rows": [_row(one) for one in found], "note": NOTE} if found else None


def _row(one: FleetCost) -> list[str]:
    metrics = one.cell.metrics
    counts = {key: metrics[f"fleet.{key}"].median for key in ("migrated", "at_once")}
    return [
        str(one.cell.factors.instances),
        one.cell.factors.scenario,
        _number(counts["migrated"], "{:g}"),
        _seconds(one.total_s),
        _number(counts["at_once"], "{:g}"),
        *(_seconds(one.medians[key]) for key in FIGURES),
        *(_number(one.slowdown.get(key), "{:.2f}") for key in SLOWER),
    ]


def _seconds(value: float | None) -> str:
    return DASH if value is None else human(value, "s")


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else form.format(value)
