"""A capture as one page that opens offline."""

import json
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from migrascope.model.units import human
from migrascope.qos.result import Direction, FlowQos, Qos, Window
from migrascope.qos.text import act_line, flow_ends, flow_name, moment_line, remarks, silence_line
from migrascope.report.charts.specifications import CONFIG, PALETTE, SCHEMA, Spec
from migrascope.report.page.html import libraries, template

DRAWN = 8
"""So many of the largest flows are drawn, in both directions."""
LISTED = 200
MOST_POINTS = 2000
"""A line of more windows than that is drawn by the mean of several."""
_LEFT: Spec = {"minExtent": 40}
"""All charts begin at the same place, so that what is above one another was at the same time."""
_PANELS: tuple[tuple[str, str, Callable[[Window], float | None]], ...] = (
    ("throughput", "Throughput [Mbit/s]", lambda window: window.throughput_bps / 1e6),
    ("delay", "Delay [ms]", lambda window: None if window.delay_s is None else window.delay_s * 1e3),
    ("loss", "Loss [%]", lambda window: None if window.loss_ratio is None else window.loss_ratio * 100),
)


def page(qos: Qos) -> str:
    """The whole page."""
    largest = sorted(qos.flows, key=lambda flow: flow.bytes, reverse=True)
    drawn = [(number, flow, way) for number, flow in enumerate(largest[:DRAWN]) for way in flow.directions]
    specs = {"silences": _silences(qos), **{name: _lines(qos, drawn, title, of) for name, title, of in _PANELS}}
    totals = qos.totals
    return template("capture.html.j2").render(
        file=qos.file,
        meta=[f"{totals.packets} packets", human(totals.bytes, "B"), human(totals.duration_s, "s")],
        remarks=remarks(totals),
        silences=[
            (
                silence_line(end.address, silence),
                [*(act_line(act) for act in silence.acts), *(moment_line(moment) for moment in silence.moved)],
            )
            for end in qos.ends
            for silence in end.silences
        ][:LISTED],
        moments=[moment_line(moment) for moment in qos.moments[:LISTED]],
        around=None if qos.around is None else (qos.around, [act_line(act) for act in qos.around.acts[:LISTED]]),
        flows=[_row(flow) for flow in largest[:LISTED]],
        left_out=len(largest) - LISTED if len(largest) > LISTED else 0,
        drawn=DRAWN if len(largest) > DRAWN else 0,
        key=[(tone, flow_ends(flow)) for tone, flow in zip(PALETTE, largest[:DRAWN], strict=False)],
        specs={name: spec for name, spec in specs.items() if spec is not None},
        script=libraries(),
        json=lambda value: Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")),
    )


def _row(flow: FlowQos) -> dict[str, Any]:
    names = ("throughput_bps", "delay_p50_s", "delay_p95_s", "jitter_s", "loss_ratio")
    ways = []
    for way in flow.directions:
        cells = [str(way.counts["packets"]), human(way.counts["bytes"], "B")]
        cells += ["\u2014" if way.metrics[n].value is None else human(way.metrics[n].value or 0, n_unit)
                  for n, n_unit in ((n, way.metrics[n].unit) for n in names)]  # fmt: skip
        longest = way.silences[0] if way.silences else None
        cells.append("\u2014" if longest is None else f"{human(longest.length_s, 's')} from {longest.start_s:.2f} s on")
        ways.append((way.sender, cells))
    return {"name": flow_name(flow), "ways": ways}


def _x(qos: Qos) -> Spec:
    end = max(qos.totals.duration_s, qos.window_s)
    return {"type": "quantitative", "title": "Time [s]", "scale": {"domain": [0, end], "nice": False}}


def _chart(description: str, height: int, rows: list[dict[str, Any]]) -> Spec:
    return {
        "$schema": SCHEMA, "description": description, "width": "container", "height": height,
        "autosize": {"type": "fit", "contains": "padding"}, "data": {"values": rows}, "config": CONFIG,
    }  # fmt: skip


def _silences(qos: Qos) -> Spec | None:
    """A bar for each silence, an end or a direction a row, all on the capture's time."""
    rows = [
        {"who": end.address, "from": s.start_s, "until": s.start_s + s.length_s, "length": human(s.length_s, "s")}
        for end in qos.ends[:LISTED]
        for s in end.silences
    ]
    ways = sorted(
        ((way, flow) for flow in qos.flows for way in flow.directions if way.silences),
        key=lambda each: -each[0].silences[0].length_s,
    )
    rows += [
        {"who": f"{flow.protocol} {way.sender} \u2192 {way.receiver}", "from": s.start_s,
         "until": s.start_s + s.length_s, "length": human(s.length_s, "s")}
        for way, flow in ways[: 2 * DRAWN]
        for s in way.silences
    ]  # fmt: skip
    if not rows:
        return None
    order = list(dict.fromkeys(row["who"] for row in rows))
    axis = _LEFT | {"labels": False, "ticks": False, "domain": False, "grid": False}
    lane = {"field": "who", "type": "nominal", "sort": order, "title": " ", "axis": axis}
    # names stand above the bars: beside them they would leave a narrow screen no room for these
    bars = {
        "mark": {"type": "bar", "color": PALETTE[3], "height": 10, "yOffset": 8},
        "encoding": {
            "x": _x(qos) | {"field": "from"},
            "x2": {"field": "until"},
            "y": lane,
            "tooltip": [{"field": "who", "title": "Who"}, {"field": "length", "title": "Silent for"}],
        },
    }
    begins = {
        "mark": {"type": "tick", "orient": "vertical", "color": "var(--ink)", "size": 14, "thickness": 2, "yOffset": 8},
        "encoding": {"x": _x(qos) | {"field": "from"}, "y": lane},
    }
    names = {
        "transform": [{"aggregate": [{"op": "count", "as": "silences"}], "groupby": ["who"]}],
        "mark": {"type": "text", "align": "left", "dy": -8, "fontSize": 12, "limit": {"expr": "width - 8"}},
        "encoding": {"x": {"value": 4}, "y": lane, "text": {"field": "who"}},
    }
    return _chart(f"{len(rows)} silences in time", 50 + 36 * len(order), rows) | {"layer": [bars, begins, names]}


def _lines(
    qos: Qos, drawn: list[tuple[int, FlowQos, Direction]], title: str, of: Callable[[Window], float | None]
) -> Spec | None:
    """A line a direction, which is broken where nothing was measured: a colour for each flow, dashed what comes from
    its second end."""
    rows: list[dict[str, Any]] = []
    for number, flow, way in drawn:
        back = way.sender != flow.ends[0] or way is not flow.directions[0]
        common = {"flow": number, "back": back, "way": f"{flow.protocol} {way.sender} \u2192 {way.receiver}"}
        windows, line = way.windows, list[dict[str, Any]]()
        step = max(1, len(windows) // MOST_POINTS)
        for at in range(0, len(windows), step):
            if at and windows[at].start_s - windows[at - 1].start_s > 1.5 * qos.window_s:
                line.append(common | {"at": windows[at - 1].start_s + qos.window_s, "value": None})
            values = [value for window in windows[at : at + step] if (value := of(window)) is not None]
            mean = float(f"{sum(values) / len(values):.4g}") if values else None
            line.append(common | {"at": windows[at].start_s, "value": mean})
        rows += line if any(row["value"] is not None for row in line) else []
    if not rows:
        return None
    ways = {(row["flow"], row["back"]) for row in rows}
    return _chart(f"{title} of {len(ways)} directions in time", 200, rows) | {
        "mark": {"type": "line", "point": {"size": 12}, "strokeWidth": 1.4},
        "encoding": {
            "x": _x(qos) | {"field": "at"},
            "y": {"field": "value", "type": "quantitative", "title": title, "axis": _LEFT},
            "color": {
                "field": "flow", "type": "nominal", "legend": None,
                "scale": {"domain": list(range(DRAWN)), "range": PALETTE[:DRAWN]},
            },
            "strokeDash": {
                "field": "back", "type": "nominal", "legend": None,
                "scale": {"domain": [False, True], "range": [[1, 0], [5, 3]]},
            },
            "tooltip": [
                {"field": "way", "title": "Flow"}, {"field": "at", "title": "Time [s]"},
                {"field": "value", "title": title},
            ],
        },
    }  # fmt: skip
