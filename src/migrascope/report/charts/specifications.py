"""The report's charts as Vega-Lite specifications. Colours are the style sheet's variables, so that one drawing serves
light and dark; charts are drawn as SVG, where a browser resolves them."""

from typing import Any

from migrascope.analysis.summary import Summary
from migrascope.model.schedule import Factors
from migrascope.report.columns import cell_name, shown_factors

Spec = dict[str, Any]
PALETTE = [f"var(--series-{number})" for number in range(1, 9)]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
CUT_OFF = "cut off: at least so much"
LIMITED = {True: "downtime limit decided", False: "limit did not decide", None: "unknown"}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"
CONFIG: Spec = {
    "background": "transparent",
    "font": _FONT,
    "view": {"stroke": "var(--rule)"},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--ink)",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "gridColor": "var(--rule)",
        "gridOpacity": 0.7,
        "domainColor": "var(--rule)",
        "tickColor": "var(--rule)",
    },
    "title": {"color": "var(--ink)", "fontSize": 12, "fontWeight": 600, "anchor": "start", "offset": 6},
    "legend": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--muted)",
        "labelFontSize": 12,
        "symbolBaseFillColor": "var(--muted)",
        "symbolBaseStrokeColor": "var(--muted)",
        "orient": "bottom",
        "columns": 2,
        "labelLimit": 320,
        # one below the other: side by side they are wider than half a page
        "layout": {"bottom": {"direction": "vertical"}},
    },
    "text": {"color": "var(--ink)"},
}


def scatter(summary: Summary, key: str, title: str, scale: float) -> Spec | None:
    """Data against a metric, a point for each trial that measured both; None without any. Trials in which the downtime
    limit decided have a shape of their own: they are another regime."""
    shown = shown_factors(summary.cells) if len(summary.cells) <= len(PALETTE) else ["scenario"]

    def name(factors: Factors) -> str:
        return cell_name(factors, shown)

    rows = []
    for trial in summary.trials:
        data, other = trial.metrics.get("data_transferred_bytes"), trial.metrics.get(key)
        if trial.facts.status != "ok" or data is None or other is None or data.value is None or other.value is None:
            continue
        rows.append(
            {
                "trial": trial.facts.number,
                "cell": name(trial.facts.factors),
                "regime": CUT_OFF if other.at_least else LIMITED[trial.limited],
                "data": round(data.value / 1e6, 2),
                "value": float(f"{other.value / scale:.4g}"),
            }
        )
    if not rows:
        return None
    cells = list(dict.fromkeys(name(cell.factors) for cell in summary.cells))
    regimes = [regime for regime in (*LIMITED.values(), CUT_OFF) if any(row["regime"] == regime for row in rows)]
    shapes = {
        "downtime limit decided": "triangle-up",
        "limit did not decide": "circle",
        "unknown": "square",
        CUT_OFF: "triangle-right",
    }
    return {
        "$schema": SCHEMA,
        "description": f"Data transferred against {title}, one point for each of {len(rows)} trials",
        "width": "container",
        "height": 300,
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"values": rows},
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.85, "stroke": "var(--paper)"},
        "encoding": {
            "x": {
                "field": "data",
                "type": "quantitative",
                "title": "Data transferred [MB]",
                "scale": {"zero": False, "padding": 12},
                "axis": {"tickCount": 6, "labelOverlap": True},
            },
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": title,
                "scale": {"zero": False, "padding": 12},
                "axis": {"tickCount": 5},
            },
            "color": {
                "field": "cell",
                "type": "nominal",
                "title": None,
                "scale": {"domain": cells, "range": [PALETTE[at % len(PALETTE)] for at in range(len(cells))]},
            },
            "shape": {
                "field": "regime",
                "type": "nominal",
                "title": None,
                "scale": {"domain": regimes, "range": [shapes[regime] for regime in regimes]},
            },
            "tooltip": [
                {"field": "trial", "title": "Trial"},
                {"field": "cell", "title": "Kind"},
                {"field": "data", "title": "Data [MB]"},
                {"field": "value", "title": title},
                {"field": "regime", "title": "Regime"},
            ],
        },
        "config": CONFIG,
    }


DECADES = [0.01, 0.1, 1, 10, 100, 1000]
_X: Spec = {
    "type": "quantitative",
    "scale": {"domainMin": {"expr": "from"}, "domainMax": {"expr": "until"}, "nice": False, "zero": False},
    "axis": {"title": None, "labels": False, "ticks": False},
}
WINDOW_COLOURS = {
    "before": "var(--band-quiet)",
    "during": "var(--band-during)",
    "switchover": "var(--band-switchover)",
    "after": "var(--band-quiet)",
    "VM paused": "var(--band-pause)",
    "disturbed": "var(--band-disturbed)",
}


def _x(field: str, last: bool = False) -> Spec:
    axis = {"title": "Time since the request [s]", "format": "+~g"} if last else _X["axis"]
    return _X | {"field": field, "axis": axis}


def _bands(opacity: float, last: bool = False) -> Spec:
    return {
        "data": {"name": "bands"},
        "mark": {"type": "rect", "clip": True, "opacity": opacity},
        "encoding": {
            "x": _x("from", last),
            "x2": {"field": "until"},
            "color": {
                "field": "shade",
                "type": "nominal",
                "legend": None,
                "scale": {"domain": list(WINDOW_COLOURS), "range": list(WINDOW_COLOURS.values())},
            },
        },
    }


def _marks(last: bool = False) -> Spec:
    return {
        "data": {"name": "marks"},
        "mark": {"type": "rule", "clip": True, "color": "var(--muted)", "strokeDash": [3, 3], "strokeWidth": 1},
        "encoding": {"x": _x("at", last)},
    }


def _cursor(last: bool = False) -> Spec:
    return {
        "data": {"name": "cursor_at"},
        "mark": {"type": "rule", "clip": True, "color": "var(--accent)", "strokeWidth": 1.5},
        "encoding": {"x": _x("t", last)},
    }


def _panel(name: str, title: str, layers: list[Spec], height: int, last: bool, scale: Spec) -> Spec:
    for layer in layers:
        layer["data"] = {"name": "bins"}
        layer["encoding"]["x"] = _x("t", last)
        layer["mark"] = {"interpolate": "step", **layer["mark"]}
        layer["encoding"]["y"] |= {
            "type": "quantitative",
            "scale": scale,
            "axis": {"title": None, "minExtent": 46, "maxExtent": 46, "format": "~r"}
            | ({"values": DECADES} if scale.get("type") == "log" else {"tickCount": 3}),
        }
    shading = _bands(0.5, last) | {"transform": [{"filter": "datum.name != 'switchover'"}]}
    nothing = {
        "data": {"name": "missing"},
        "transform": [{"filter": f"datum.name == '{name}'"}],
        "mark": {"type": "text", "fontSize": 12, "color": "var(--muted)", "x": 12, "y": height / 2, "align": "left"},
        "encoding": {"text": {"field": "why"}},
    }
    return {
        "name": name,
        "title": title,
        "width": 720,
        "height": height,
        "layer": [shading, *layers, _marks(last), _cursor(last), nothing],
        "resolve": {"axis": {"x": "shared"}},
    }


def _line(field: str, colour: str) -> Spec:
    return {"mark": {"type": "line", "color": colour, "strokeWidth": 1.5}, "encoding": {"y": {"field": field}}}


def _area(low: str | None, high: str, colour: str, opacity: float) -> Spec:
    encoding: Spec = {"y": {"field": high}, "y2": {"field": low} if low else {"datum": 0}}
    return {"mark": {"type": "area", "color": colour, "opacity": opacity}, "encoding": encoding}


def _strip() -> Spec:
    """The first panel: the windows and the pause as named bars, as a key to the shading beneath."""
    bars = _bands(1)
    bars["mark"] |= {"cornerRadius": 2}
    lane = {
        "field": "lane",
        "type": "nominal",
        "axis": None,
        "scale": {"domain": [1, 2], "paddingInner": 0.15},
    }
    bars["encoding"] |= {"y": lane}
    names = {
        "data": {"name": "names"},
        "mark": {"type": "text", "align": "left", "dx": 5, "fontSize": 11, "color": "var(--ink)"},
        "encoding": {"x": _x("at"), "y": lane, "text": {"field": "name"}},
    }
    return {
        "name": "strip",
        "width": 720,
        "height": 42,
        "view": {"stroke": None},
        "layer": [bars, names, _marks(), _cursor()],
    }


def trial_axis() -> Spec:
    """The stacked panels of one trial on one time axis. The page puts the chosen trial's data into `bins`, `bands`,
    `names` (of the bands that have room for one), `marks` and `missing`, the cursor's place into `cursor_at`, and what
    is shown into `from` and `until`."""
    zero: Spec = {"zero": True, "nice": True}
    panels = [
        _panel(
            "delay",
            "Delay, round trip [ms]: median, least to greatest",
            [_area("delay_low", "delay_high", "var(--series-1)", 0.3), _line("delay_mid", "var(--series-1)")],
            84,
            False,
            {"type": "log", "nice": True},
        ),
        _panel(
            "loss", "Loss [%]", [_area(None, "loss", "var(--series-4)", 0.75)], 48, False,
            {"domain": [0, 100]},
        ),
        _panel(
            "goodput",
            "Throughput to visitors [Mbit/s]",
            [_area("goodput_low", "goodput_high", "var(--series-3)", 0.35), _line("goodput_high", "var(--series-3)")],
            64,
            False,
            zero,
        ),
        _panel(
            "buffer", "Player buffer, least of all viewers [s]", [_line("buffer", "var(--series-5)")], 56, False, zero
        ),
        _panel("rounds", "Migration rounds", [_line("rounds", "var(--series-6)")], 48, False, zero),
        _panel(
            "link", "Migration link [Mbit/s]", [_area(None, "link", "var(--series-2)", 0.55)], 64, True, zero
        ),
    ]  # fmt: skip
    return {
        "$schema": SCHEMA,
        "description": "One trial on one time axis: delay, loss, throughput, player buffer, rounds and link rate",
        "padding": {"left": 2, "right": 8, "top": 4, "bottom": 4},
        "params": [{"name": "from", "value": -5}, {"name": "until", "value": 10}],
        "datasets": {"bins": [], "bands": [], "names": [], "marks": [], "missing": [], "cursor_at": []},
        "vconcat": [_strip(), *panels],
        "spacing": 10,
        "resolve": {"scale": {"x": "shared"}},
        "config": CONFIG,
    }
