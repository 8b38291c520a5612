"""The report's charts as pictures that stand by themselves: SVG and PNG, in the colours of its light page."""

import re
from importlib import resources
from typing import Any

import vl_convert

from migrascope.analysis.summary import Summary
from migrascope.report.charts import bars, one_trial, specifications
from migrascope.report.charts.timeline import Timeline
from migrascope.report.columns import shown_factors
from migrascope.report.page import policies
from migrascope.report.page.layers import Layers

WIDTH = 640
PNG_SCALE = 2.0
_VARIABLE = re.compile(r"var\((--[a-z0-9-]+)\)")


def figures(summary: Summary) -> dict[str, dict[str, Any]]:
    """The specifications of a run's figures by name, as wide as a page; those without any point are left out."""
    shown = shown_factors(summary.cells)
    specs = {
        "budget": bars.budget(summary, shown),
        "steps": bars.steps(summary, shown),
        "network-share": bars.shares(summary, shown),
        "data-against-time": specifications.scatter(summary, "migration_time_s", "Migration time [s]", 1),
        "data-against-downtime": specifications.scatter(summary, "reported_downtime_s", "Reported downtime [ms]", 1e-3),
        "data-against-pause": specifications.scatter(summary, "vm_pause_s", "VM pause [ms]", 1e-3),
        "policies": policies.picture(summary),
    }
    return {name: alone(spec) for name, spec in specs.items() if spec is not None}


def trial_figures(number: int, line: Timeline, seen: Layers | None) -> dict[str, dict[str, Any]]:
    """The specifications of one trial's figures by name."""
    specs = one_trial.axes(number, line) | (one_trial.layers(number, seen) if seen is not None else {})
    return {f"trial-{number}-{name}": alone(spec) for name, spec in specs.items()}


def drawn(spec: dict[str, Any]) -> tuple[str, bytes]:
    """A figure as SVG and as PNG."""
    svg = vl_convert.vegalite_to_svg(spec)
    png: bytes = vl_convert.vegalite_to_png(spec, scale=PNG_SCALE)
    return svg, png


def alone(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart of the page as a picture of its own."""
    colours = _colours()
    resolved: dict[str, Any] = _resolved(
        {**spec, "config": specifications.CONFIG, "background": "var(--paper)"}, colours
    )
    return resolved | ({"width": WIDTH} if spec.get("width") == "container" else {})


def _colours() -> dict[str, str]:
    css = resources.files("migrascope.report").joinpath("templates/report.css").read_text("utf-8")
    light = css[: css.index("@media")]
    return dict(re.findall(r"(--[a-z0-9-]+): (#[0-9a-f]{6})", light))


def _resolved(value: Any, colours: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(inner, colours) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner, colours) for inner in value]
    return _VARIABLE.sub(lambda name: colours[name[1]], value) if isinstance(value, str) else value
