"""What each policy costs: a table for the terminal and the page, and a picture with the front that nothing beats."""

from typing import Any

from migrascope.analysis.limit import Decided
from migrascope.analysis.policies import COSTS, OUTAGE, TIME, PolicyCost
from migrascope.analysis.summary import Summary
from migrascope.model.units import human
from migrascope.report.charts.specifications import CONFIG, PALETTE, SCHEMA
from migrascope.report.columns import DASH, factor_text, factor_title, varying

OUTCOME = "Outcome"
TITLES = [
    "Time",
    "Data",
    "VM pause",
    "Network blackout",
    "Outage, total",
    "Visitors lost",
    "CPU, source",
    "CPU, destination",
]
FRONT = "◆"
NOTE = (
    f"Medians of the trials that came to a good end. {FRONT}: no other policy under that load was faster without more "
    "outage, or had less outage without being slower. One of which a trial failed or did not converge is not marked. "
    "Limited: the downtime limit decided there, and the downtime says little of the policy. "
    "What visitors lost is below zero where they were served worse before the migration."
)


def heads(found: list[PolicyCost]) -> list[str]:
    """The titles of all columns."""
    return [*map(factor_title, _varying(found)), "Policy", "", OUTCOME, *TITLES]


def rows(found: list[PolicyCost]) -> list[list[str]]:
    """A row for each policy and load: the load, the policy, its mark, its outcomes, its costs."""
    return [
        [
            *(factor_text(name, getattr(cost.load, name)) for name in _varying(found)),
            cost.cell.factors.policy,
            FRONT if cost.front else "",
            _outcome(cost),
            *(_cost(cost, key) for key in COSTS),
        ]
        for cost in found
    ]


def table(summary: Summary) -> dict[str, Any] | None:
    """Heads, rows and note of the table; None for a run of one policy."""
    found = summary.policies
    if not found:
        return None
    return {"heads": heads(found), "rows": rows(found), "note": NOTE}


def _varying(found: list[PolicyCost]) -> list[str]:
    return varying([cost.load for cost in found])


def _outcome(cost: PolicyCost) -> str:
    told = ", ".join(f"{count} {status}" for status, count in cost.outcomes.items())
    limited = Decided.in_cell(cost.cell).short
    return f"{told} ({limited})" if limited else told


def _cost(cost: PolicyCost, key: str) -> str:
    statistic = cost.cell.metrics.get(key)
    return (statistic and statistic.text("median", lambda value: human(value, statistic.unit))) or DASH


def picture(summary: Summary) -> dict[str, Any] | None:
    """Migration time against outage in total, a panel for each load; those of the front are joined. Policies of which
    no trial came to a good end are named in their panel."""
    found = summary.policies
    values = []
    without: dict[str, list[str]] = {}
    for cost in found:
        time, outage = (cost.cell.metrics[key].median if key in cost.cell.metrics else None for key in (TIME, OUTAGE))
        load = ", ".join(factor_text(name, getattr(cost.load, name)) for name in _varying(found)) or "one load"
        if time is None or outage is None:
            without.setdefault(load, []).append(f"{cost.cell.factors.policy}: {_outcome(cost)}")
            continue
        values.append(
            {
                "policy": cost.cell.factors.policy,
                "load": load,
                "time": float(f"{time:.4g}"),
                "outage": float(f"{1e3 * outage:.4g}"),
                "front": "on the front" if cost.front else "beaten, or failed once",
            }
        )
    if not values:
        return None
    loads = list(dict.fromkeys([*(row["load"] for row in values), *without]))
    notes = [{"load": load, "never": words} for load, words in without.items()]
    placed = [{"filter": "isValid(datum.time)"}]
    x = {
        "field": "time",
        "type": "quantitative",
        "title": "Migration time [s]",
        "scale": {"zero": False, "padding": 30},
    }
    y = {
        "field": "outage",
        "type": "quantitative",
        "title": "Outage, total [ms]",
        "scale": {"type": "sqrt"},
    }
    joined = {
        "transform": [{"filter": "datum.front == 'on the front'"}],
        "mark": {"type": "line", "interpolate": "step-after", "color": "var(--muted)", "strokeDash": [4, 3]},
        "encoding": {"x": x, "y": y},
    }
    shape = {"field": "front", "type": "nominal", "title": None}
    points = {
        "transform": placed,
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.9},
        "encoding": {
            "x": x, "y": y, "shape": shape,
            "color": {"field": "policy", "type": "nominal", "title": "Policy",
                      "scale": {"range": PALETTE}},
            "tooltip": [{"field": name} for name in ("policy", "time", "outage", "front")],
        },
    }  # fmt: skip
    names = {
        "transform": placed,
        "mark": {"type": "text", "align": "left", "dx": 7, "dy": -7, "fontSize": 10, "color": "var(--ink)"},
        "encoding": {"x": x, "y": y, "text": {"field": "policy"}},
    }
    nowhere = {
        "transform": [{"filter": "isValid(datum.never)"}],
        "mark": {"type": "text", "align": "left", "baseline": "top", "x": 6, "y": 6, "fontSize": 10,
                 "color": "var(--series-4)"},
        "encoding": {"text": {"field": "never"}},
    }  # fmt: skip
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "description": f"Migration time against outage in total for {len(values)} combinations of policy and load",
        "data": {"values": values + notes},
        "facet": {"field": "load", "type": "nominal", "title": None, "sort": loads},
        "columns": 2,
        "spec": {"width": 300, "height": 220, "layer": [joined, points, names, nowhere]},
        "resolve": {"scale": {"x": "independent", "y": "independent"}},
    }
