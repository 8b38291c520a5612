"""Dose against effect: a table of what each dose adds to the undisturbed trials, and a picture."""

from math import isinf
from typing import Any

from migrascope.analysis.doses import EFFECTS, Dose, Series
from migrascope.analysis.limit import Decided
from migrascope.analysis.results import Cell
from migrascope.analysis.statistics import Paired
from migrascope.analysis.summary import Summary
from migrascope.report.charts.specifications import CONFIG, SCHEMA
from migrascope.report.columns import COLUMNS, DASH, Column, entry, factor_text, figure, finest, varying

SHOWN = [column for column in COLUMNS if column.key in EFFECTS]
DRAWN = SHOWN[:4]
SCALES = {
    "B/s": (1e6, "MB/s"), "bit/s": (1e6, "Mbit/s"), "B": (2**20, "MiB"), "ratio": (1e-2, "%"), "s": (1e-3, "ms"),
    "workers": (1, "workers"),
}  # fmt: skip
NOTE = (
    "The undisturbed trials by their medians; each dose by how much more it is than they are: the median of the "
    "differences within blocks, with an interval of its own from six blocks on: among many, some lie off zero by "
    "chance. Limited: the downtime limit decided there, and a downtime is its doing; those trials are in."
)
PICTURE_NOTE = (
    "A point is a trial, a triangle one that was cut off: at least so much. The line joins the medians, the dashed "
    "line is the undisturbed median. ✕: not every migration converged."
)


def table(summary: Summary) -> dict[str, Any] | None:
    """Heads, rows of (text, interval) and note; None for a run without doses beside undisturbed trials."""
    found = summary.doses
    if not found:
        return None
    heads = ["Load", "Dose", "Trials", *(column.heading for column in SHOWN)]
    rows = [row for series in found for row in _rows(series, _name(series, found), summary)]
    return {"heads": heads, "rows": rows, "note": NOTE}


def _name(series: Series, found: list[Series]) -> str:
    """A load, with the other factors that differ between the loads."""
    beside = [factor_text(name, getattr(series.beside, name)) for name in varying([each.beside for each in found])]
    return ", ".join([series.what, *beside])


def _rows(series: Series, name: str, summary: Summary) -> list[list[tuple[str, str]]]:
    base = [entry(series.base.metrics.get(column.key), column, finest(column, summary.calibration)) for column in SHOWN]
    counted = f"{series.base.trials - series.base.failed}{_limited(series.base)}"
    first = [(name, ""), ("none", ""), (counted, ""), *((shows.median, shows.interval) for shows in base)]
    return [first, *([(name, ""), *_dose(series, dose, summary)] for dose in series.doses)]


def _dose(series: Series, dose: Dose, summary: Summary) -> list[tuple[str, str]]:
    outcomes = ", ".join(f"{count} {status}" for status, count in sorted(dose.outcomes.items()))
    found = [_more(dose.against.get(column.key), column, finest(column, summary.calibration)) for column in SHOWN]
    return [(series.dose_text(dose.value), ""), (outcomes + _limited(dose.cell), ""), *found]


def _limited(cell: Cell) -> str:
    """In how many of the trials the downtime limit decided, with a space before it; empty where it decided in none."""
    words = Decided.in_cell(cell).short
    return f" ({words})" if words else ""


def _more(pair: Paired | None, column: Column, step: float) -> tuple[str, str]:
    if pair is None:
        return DASH, ""
    median = DASH if pair.median is None else _signed(pair.median, column, step)
    if pair.interval is None:
        return median, ""
    low, high = (DASH if isinf(end) else _signed(end, column, step) for end in (pair.interval.low, pair.interval.high))
    if isinf(pair.interval.low) or isinf(pair.interval.high):
        return median, f"≥ {low}" if low != DASH else f"≤ {high}" if high != DASH else ""
    return median, f"{low} to {high}"


def _signed(value: float, column: Column, step: float) -> str:
    return f"{'+' if value >= 0 else '−'}{figure(abs(value), column, step)}"


def picture(summary: Summary) -> dict[str, Any] | None:
    """A row of panels for each effect, a panel for each load with at least two doses; None without one."""
    found = summary.doses
    drawn = [series for series in found if len(series.doses) > 1]
    if not drawn:
        return None
    names = [_panel(series, found) for series in drawn]
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "description": f"Effects of {len(drawn)} loads by their dose, one point for each trial",
        "vconcat": [_effect(column, drawn, names, summary, headed=column is DRAWN[0]) for column in DRAWN],
    }


def _panel(series: Series, found: list[Series]) -> str:
    return f"{_name(series, found)} [{SCALES[series.unit][1]}]"


def _effect(column: Column, drawn: list[Series], names: list[str], summary: Summary, *, headed: bool) -> dict[str, Any]:
    values = [row for series, name in zip(drawn, names, strict=True) for row in _points(series, name, column, summary)]
    x = {"field": "dose", "type": "quantitative", "title": None, "axis": {"tickCount": 4}, "scale": {"zero": True}}
    y = {"field": "value", "type": "quantitative", "title": column.heading, "axis": {"tickCount": 4}}
    color = {"value": "var(--series-1)"}
    header = {"labelColor": "var(--ink)", "labelFontSize": 12} if headed else {"labels": False}
    layers = [
        _layer("base", {"type": "rule", "strokeDash": [4, 3], "color": "var(--muted)"}, {"y": y}),
        _layer("median", {"type": "line"}, {"x": x, "y": y, "color": color}),
        _layer(
            "trial",
            {"type": "point", "filled": True, "size": 45, "opacity": 0.75},
            {"x": x, "y": y, "color": color, "tooltip": [{"field": name} for name in ("trial", "dose", "value")]},
        ),
        _layer(
            "cut off",
            {"type": "point", "shape": "triangle-up", "size": 60, "opacity": 0.75},
            {"x": x, "y": y, "color": color, "tooltip": [{"field": name} for name in ("trial", "dose", "value")]},
        ),
        _layer("short", {"type": "text", "text": "✕", "y": 8, "color": "var(--series-4)"}, {"x": x}),
    ]
    return {
        "data": {"values": values},
        "facet": {"column": {"field": "load", "type": "nominal", "title": None, "sort": names, "header": header}},
        "spec": {"width": 190, "height": 110, "layer": layers},
        "resolve": {"scale": {"x": "independent"}},
    }


def _layer(what: str, mark: dict[str, Any], encoding: dict[str, Any]) -> dict[str, Any]:
    return {"transform": [{"filter": f"datum.what == '{what}'"}], "mark": mark, "encoding": encoding}


def _points(series: Series, load: str, column: Column, summary: Summary) -> list[dict[str, Any]]:
    scale = SCALES[series.unit][0]
    rows: list[dict[str, Any]] = []
    base = series.base.metrics.get(column.key)
    if base is not None and base.median is not None:
        rows.append({"what": "base", "load": load, "value": float(f"{base.median / column.scale:.4g}")})
    for dose in series.doses:
        at = {"load": load, "dose": round(dose.value / scale, 3)}
        statistic = dose.cell.metrics.get(column.key)
        if statistic is not None and statistic.median is not None:
            rows.append({"what": "median", **at, "value": float(f"{statistic.median / column.scale:.4g}")})
        for trial in summary.counted(dose.cell.factors):
            measured = trial.metrics.get(column.key)
            if measured is not None and measured.value is not None:
                value = float(f"{measured.value / column.scale:.4g}")
                what = "cut off" if measured.at_least else "trial"
                rows.append({"what": what, "trial": trial.facts.number, **at, "value": value})
        if dose.outcomes.get("not-converged"):
            rows.append({"what": "short", **at})
    return rows
