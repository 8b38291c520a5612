"""Where the downtime goes: the parts of each cell that add up, and what stands beside them. Pure."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from migrascope.analysis.results import TrialResult
from migrascope.analysis.summary import Summary
from migrascope.metrics.budget import PARTS
from migrascope.report.charts.stack import NOTE, Look, Scale, drawn
from migrascope.report.columns import cell_name

TITLES = {
    "before": "silent before STOP",
    "reported": "reported downtime",
    "rest": "rest until RESUME",
    "reply": "RESUME until the first reply",
}
BESIDE = [
    ("http_new_blackout_s", "HTTP, new connections"),
    ("http_kept_blackout_s", "HTTP, kept connections"),
    ("player_stall_s", "player stall"),
]
LOOK = Look("ms", 0, TITLES, {part: f"part-{part}" for part in TITLES})


def rows(summary: Summary, shown: list[str]) -> list[dict[str, Any]]:
    """Of each cell, in ms: `parts`, means over the trials that have every part (n of them), and `beside`, means of what
    does not add up with them."""
    found: list[dict[str, Any]] = []
    for cell in summary.cells:
        trials = summary.counted(cell.factors)
        whole = [trial for trial in trials if all(_values([trial], key) for key in PARTS)]
        parts = {part: fmean(_values(whole, key)) * 1e3 for part, key in zip(TITLES, PARTS, strict=True) if whole}
        beside = {
            _cut_off(title, trials, [key]): fmean(values) * 1e3
            for key, title in BESIDE
            for values in [_values(trials, key)]
            if values
        }
        name = _cut_off(cell_name(cell.factors, shown), whole, PARTS)
        found.append({"name": name, "parts": parts, "n": len(whole), "beside": beside})
    return found


def section(summary: Summary, shown: list[str]) -> dict[str, Any]:
    """The rows as the page draws them, on one scale."""
    found = rows(summary, shown)
    beside = [{title: ms} for row in found for title, ms in row["beside"].items()]
    scale = Scale.of([*(row["parts"] for row in found), *beside], 1.12)
    drawn_rows = [
        {
            "name": row["name"],
            "bar": drawn(row["parts"], scale, LOOK) if row["parts"] else None,
            "beside": [(title, _alone(title, ms, scale)) for title, ms in row["beside"].items()],
        }
        for row in found
    ]
    return {"rows": drawn_rows, "titles": TITLES, "note": NOTE if scale.low < 0 else ""}


def _alone(title: str, ms: float, scale: Scale) -> dict[str, Any]:
    return drawn({title: ms}, scale, Look("ms", 0, {title: title}, {title: "part-beside"}, {title: ""}))


def _cut_off(title: str, trials: list[TrialResult], keys: Sequence[str]) -> str:
    """The title, which says so where a mean is a lower bound."""
    cut_off = any(trial.metrics[key].at_least for trial in trials for key in keys if key in trial.metrics)
    return f"{title} (at least)" if cut_off else title


def _values(trials: list[TrialResult], key: str) -> list[float]:
    measured = [trial.metrics[key].value for trial in trials if key in trial.metrics]
    return [value for value in measured if value is not None]
