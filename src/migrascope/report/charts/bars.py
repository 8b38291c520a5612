"""The report's bars of parts that add up, as Vega-Lite: the page itself draws them without a script."""

from collections.abc import Mapping, Sequence
from typing import Any

from migrascope.analysis.summary import Summary
from migrascope.report.charts.specifications import CONFIG, PALETTE, SCHEMA, Spec
from migrascope.report.charts.stack import Scale, laid
from migrascope.report.page import downtime_budget as downtime
from migrascope.report.page import step_durations

Row = tuple[str, Mapping[str, float]]
_ROW = 26


def budget(summary: Summary, shown: list[str]) -> Spec | None:
    """The downtime budget of each cell, ms, and beside it what does not add up."""
    found = downtime.rows(summary, shown)
    rows = [(row["name"], {downtime.TITLES[part]: ms for part, ms in row["parts"].items()}) for row in found]
    beside = [(f"{row['name']}: {title}", {title: ms}) for row in found for title, ms in row["beside"].items()]
    return stacked([*rows, *beside], "Means [ms]", "Downtime budget")


def steps(summary: Summary, shown: list[str]) -> Spec | None:
    """Where the seconds of migrations on OpenStack go."""
    found = step_durations.bars(summary, shown)
    titles = {step: f"{step_durations.NUMBERS[step]} {words}" for step, words in step_durations.NAMES.items()}
    rows = [(name, {titles[step]: mean for step, mean in parts.items()}) for name, parts in found]
    spec = stacked(rows, "Means [s]", "Steps of a migration")
    scale = Scale.of([parts for _, parts in found], 1.0)
    return spec and _numbered(spec, scale.high - scale.low)


def shares(summary: Summary, shown: list[str]) -> Spec | None:
    """The network's share of the blackout on OpenStack, by direction."""
    found = step_durations.shares(summary, shown)
    rows = [(name, {step_durations.SHARES[part]: ms for part, ms in parts.items()}) for name, parts in found]
    return stacked(rows, "Means [ms]", "The network's share of the blackout")


def _numbered(spec: Spec, length: float) -> Spec:
    """With the number that begins a part's name in the bar, where it has room: there are more parts than colours."""
    bar = {key: spec.pop(key) for key in ("mark", "encoding")}
    label = {
        "transform": [
            {"filter": f"datum.until - datum.from > {0.02 * length}"},
            {"calculate": "split(datum.part, ' ')[0]", "as": "number"},
            {"calculate": "(datum.from + datum.until) / 2", "as": "middle"},
        ],
        "mark": {"type": "text", "fontSize": 11, "color": "var(--paper)"},
        "encoding": {
            "y": bar["encoding"]["y"],
            "x": {"field": "middle", "type": "quantitative"},
            "text": {"field": "number"},
        },
    }
    return spec | {"layer": [bar, label]}


def stacked(rows: Sequence[Row], axis: str, title: str) -> Spec | None:
    """A bar for each row, its parts one after another, those below zero left of it; None where nothing was measured."""
    values: list[dict[str, Any]] = []
    for name, parts in rows:
        for bar in laid(parts):
            values.append({"row": name, "part": bar.name, "from": round(bar.start, 4), "until": round(bar.end, 4)})
    if not values:
        return None
    parts_of = list(dict.fromkeys(value["part"] for value in values))
    colours = [PALETTE[at % len(PALETTE)] for at in range(len(parts_of))]
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "title": title,
        "width": "container",
        "height": {"step": _ROW},
        "data": {"values": values},
        "mark": {"type": "bar", "stroke": "var(--paper)", "strokeWidth": 1},
        "encoding": {
            "y": {"field": "row", "type": "nominal", "title": None, "sort": [name for name, _ in rows],
                  "axis": {"labelLimit": 320}},
            "x": {"field": "from", "type": "quantitative", "title": axis},
            "x2": {"field": "until"},
            "color": {"field": "part", "type": "nominal", "title": None, "sort": parts_of,
                      "scale": {"domain": parts_of, "range": colours}},
        },
    }  # fmt: skip
