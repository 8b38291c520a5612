"""One trial's figures as pictures that stand by themselves: the page's script fills the same panels for its reader."""

from typing import Any

from migrascope.report.charts.specifications import CONFIG, SCHEMA, Spec, trial_axis
from migrascope.report.charts.timeline import DISTURBED, Timeline
from migrascope.report.page import sections
from migrascope.report.page.layers import Layers

ABSENT = {
    "delay": ("delay_mid", "no probe was answered"),
    "loss": ("loss", "no probe was sent"),
    "goodput": ("goodput_high", "not recorded in this trial"),
    "buffer": ("buffer", "no player in this scenario"),
    "link": ("link", "not recorded in this trial"),
}
_LOWER = ("switchover", "VM paused")
_WIDTH, _LANE, _ROOM = 720, 26, 110
_TONES = {"run": "var(--series-3)", "wait": "var(--series-2)", "gone": "var(--series-4)"}


def axes(number: int, line: Timeline) -> dict[str, Spec]:
    """A trial on its time axis: the whole of it, and around the switchover where there was one."""
    data = sections.data({number: line})[number]
    parts = {"whole": data["whole"], "switchover": data["switchover"]}
    return {name: _axis(number, data, part) for name, part in parts.items() if part is not None}


def _axis(number: int, data: dict[str, Any], part: dict[str, Any]) -> Spec:
    columns = part["columns"]
    count = max(map(len, columns.values()))
    begin, end = part["start"], part["start"] + count * part["step"]
    bins = []
    for at in range(count):
        row = {name: values[at] if at < len(values) else None for name, values in columns.items()}
        low = row["goodput_low"] if row["goodput_low"] is not None else row["goodput_high"]
        bins.append({"t": round(begin + (at + 0.5) * part["step"], 4), **row, "goodput_low": low})
    bands = [{"name": name, "from": first, "until": last, **_place(name)} for name, first, last in data["bands"]]
    names = [
        {"name": band["name"], "at": max(band["from"], begin), "lane": band["lane"]}
        for band in bands
        if (min(band["until"], end) - max(band["from"], begin)) * _WIDTH / (end - begin) > 7 * len(band["name"]) + 10
    ]
    missing = [{"name": panel, "why": why} for panel, (column, why) in ABSENT.items() if not columns[column]]
    sets = {
        "bins": bins, "bands": bands, "names": names, "missing": missing, "cursor_at": [],
        "marks": [{"name": name, "at": at} for name, at in data["marks"]],
    }  # fmt: skip
    params = [{"name": "from", "value": begin}, {"name": "until", "value": round(end, 4)}]
    told = " · ".join(f"{name} {at:+.2f} s" for name, at in data["marks"])
    title = {"text": f"Trial {number}", "subtitle": told, "subtitleColor": "var(--muted)"}
    return trial_axis() | {"title": title, "datasets": sets, "params": params}


def _place(band: str) -> dict[str, Any]:
    """In which lane of the strip a band is, and its shade."""
    disturbed = band.startswith(DISTURBED)
    return {"lane": 2 if disturbed or band in _LOWER else 1, "shade": "disturbed" if disturbed else band}


def layers(number: int, found: Layers) -> dict[str, Spec]:
    """A migration on OpenStack as each layer saw it: the whole of it, and around the switchover."""
    stretches = {"layers": found.whole} | ({"layers-switchover": found.close} if found.close is not None else {})
    return {name: _lanes(number, found, *stretch) for name, stretch in stretches.items()}


def _lanes(number: int, found: Layers, begin: float, end: float) -> Spec:
    boxes: list[dict[str, Any]] = []
    for lane, spans in found.lanes.items():
        for span in spans:
            first, last = max(begin, span.start_s), min(end, span.end_s)
            if last > first:
                boxes.append({"lane": lane, "label": span.label, "from": first, "until": last, "tone": span.tone})
    for box in boxes:
        room = (box["until"] - box["from"]) / (end - begin) * (_WIDTH - _ROOM)
        box["text"] = box["label"] if room > 6 * len(box["label"]) + 8 else ""
    y = {"field": "lane", "type": "nominal", "title": None, "sort": list(found.lanes)}
    x = {"field": "from", "type": "quantitative", "title": "Time since the request [s]",
         "scale": {"domain": [begin, end], "nice": False}}  # fmt: skip
    colour = {"field": "tone", "type": "nominal", "legend": None,
              "scale": {"domain": list(_TONES), "range": list(_TONES.values())}}  # fmt: skip
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "title": f"Trial {number}",
        "width": _WIDTH,
        "height": {"step": _LANE},
        "data": {"values": boxes},
        "layer": [
            {"mark": {"type": "bar", "opacity": 0.55, "stroke": "var(--paper)"},
             "encoding": {"x": x, "x2": {"field": "until"}, "y": y, "color": colour}},
            {"mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 11, "color": "var(--ink)"},
             "encoding": {"x": x, "y": y, "text": {"field": "text"}}},
        ],
    }  # fmt: skip
