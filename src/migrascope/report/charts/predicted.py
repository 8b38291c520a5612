"""Predicted against measured, as a picture: a point for each trial, on the line where both are the same."""

from collections.abc import Sequence
from typing import Any

from migrascope.predict.predictor import FIGURES, Figure
from migrascope.predict.score import Scored
from migrascope.report.charts.specifications import CONFIG, PALETTE, SCHEMA, Spec

_SIDE = 260
_TITLES: dict[Figure, tuple[str, float]] = {
    "time_s": ("Migration time [s]", 1.0),
    "pause_s": ("VM pause [ms]", 1e-3),
    "data_bytes": ("Data [MB]", 1e6),
}


def picture(scored: Sequence[Scored]) -> Spec | None:
    """A panel for each figure, those that both ended and were predicted to; None without any. Intervals are upright
    lines."""
    panels = [panel for figure in FIGURES if (panel := _panel(figure, scored)) is not None]
    return {"$schema": SCHEMA, "config": CONFIG, "hconcat": panels} if panels else None


def _panel(figure: Figure, scored: Sequence[Scored]) -> Spec | None:
    title, unit = _TITLES[figure]
    rows: list[dict[str, Any]] = []
    for each in scored:
        predicted, measured = getattr(each.prediction.course, figure), getattr(each.trial.outcome, figure)
        if not each.trial.outcome.ended or predicted is None or measured is None:
            continue
        interval = each.prediction.intervals.get(figure)
        rows.append(
            {
                "policy": each.trial.request.settings.form,
                "measured": float(f"{measured / unit:.4g}"),
                "predicted": float(f"{predicted / unit:.4g}"),
                "low": float(f"{(interval.low if interval else predicted) / unit:.4g}"),
                "high": float(f"{(interval.high if interval else predicted) / unit:.4g}"),
            }
        )
    if not rows:
        return None
    most = max(max(row["measured"], row["high"]) for row in rows)
    x: dict[str, Any] = {"field": "measured", "type": "quantitative", "title": f"{title}, measured"}
    return {
        "width": _SIDE,
        "height": _SIDE,
        "layer": [
            {
                "data": {"values": [{"measured": 0, "at": 0}, {"measured": most, "at": most}]},
                "mark": {"type": "line", "color": "var(--muted)", "strokeDash": [4, 3]},
                "encoding": {"x": x, "y": {"field": "at", "type": "quantitative", "title": "predicted"}},
            },
            {
                "data": {"values": rows},
                "mark": {"type": "rule", "opacity": 0.4},
                "encoding": {
                    "x": x,
                    "y": {"field": "low", "type": "quantitative", "title": "predicted"},
                    "y2": {"field": "high"},
                    "color": _COLOUR,
                },
            },
            {
                "data": {"values": rows},
                "mark": {"type": "point", "filled": True, "size": 45},
                "encoding": {
                    "x": x,
                    "y": {"field": "predicted", "type": "quantitative", "title": "predicted"},
                    "color": _COLOUR,
                },
            },
        ],
    }


_COLOUR: Spec = {"field": "policy", "type": "nominal", "title": None, "scale": {"range": PALETTE}}
