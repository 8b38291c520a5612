"""What each section of the page says, as plain data that the template lays out."""

from collections.abc import Iterator, Mapping
from typing import Any

from migrascope.analysis.limit import Decided
from migrascope.analysis.results import Cell, Finding, Statistic, TrialResult
from migrascope.analysis.summary import Summary
from migrascope.metrics.sniffer import SERIES
from migrascope.metrics.windows import WINDOWS
from migrascope.model.calibration import Condition
from migrascope.model.measured import Measured
from migrascope.model.units import at_least_text, human
from migrascope.report.charts.timeline import Stretch, Timeline
from migrascope.report.columns import (
    COLUMNS,
    DASH,
    Column,
    cell_name,
    columns_of,
    entry,
    factor_text,
    factor_title,
    figure,
    finest,
)
from migrascope.report.page import tiphon

QUALITY = [
    ("probe.rtt_s.{}.p50", "Delay p50"),
    ("probe.rtt_s.{}.p95", "Delay p95"),
    ("probe.rtt_variation_s.{}.p50", "Jitter p50"),
    ("probe.rtt_variation_s.{}.p95", "Jitter p95"),
    ("probe.loss_ratio.{}", "Loss"),
    ("visitor.goodput_bps.{}", "Goodput"),
    ("visitor.rtt_s.{}.p50", "Visitors' RTT p50"),
    ("visitor.rtt_s.{}.p95", "Visitors' RTT p95"),
    ("visitor.retransmit_ratio.{}", "Retransmitted"),
]


def texts(findings: list[Finding], topic: str) -> list[str]:
    return [finding.text for finding in findings if finding.topic == topic]


def costs(summary: Summary, shown: list[str]) -> dict[str, Any]:
    """The one table: its columns, its rows, and the notes that its dashes point to."""
    notes: list[str] = []
    columns = columns_of(summary)
    rows = []
    for cell in summary.cells:
        entries = []
        for column in columns:
            shows = entry(cell.metrics.get(column.key), column, finest(column, summary.calibration))
            if shows.reason is not None and shows.reason not in notes:
                notes.append(shows.reason)
            entries.append((shows, notes.index(shows.reason) + 1 if shows.reason is not None else 0))
        rows.append(
            {
                "factors": [factor_text(name, getattr(cell.factors, name)) for name in shown],
                "trials": cell.trials,
                "failed": cell.failed,
                "limited": Decided.in_cell(cell).short,
                "entries": entries,
            }
        )
    return {"columns": columns, "factors": [factor_title(name) for name in shown], "rows": rows, "notes": notes}


def chooser(summary: Summary, timelines: Mapping[int, Timeline], shown: list[str]) -> list[dict[str, Any]]:
    groups = []
    for cell in summary.cells:
        options = [
            {"number": t.facts.number, "text": _option(t)}
            for t in summary.trials
            if t.facts.factors == cell.factors and t.facts.number in timelines
        ]
        if options:
            groups.append({"cell": cell_name(cell.factors, shown), "options": options})
    return groups


def _option(trial: TrialResult) -> str:
    facts = trial.facts
    told = [f"trial {facts.number}", f"block {facts.block}", f"{facts.source} → {facts.destination}"]
    if facts.status != "ok":
        return " · ".join([*told, facts.status])
    time, blackout = (trial.metrics.get(key) for key in ("migration_time_s", "network_blackout_s"))
    if time is not None and time.value is not None:
        told.append(f"time {human(time.value, 's')}")
    if blackout is not None and blackout.value is not None:
        told.append(f"blackout {at_least_text(f'{1e3 * blackout.value:.0f} ms', at_least=blackout.at_least)}")
    return " · ".join(told)


_SCALES = {
    "delay_low": 1e3,
    "delay_mid": 1e3,
    "delay_high": 1e3,
    "loss": 100,
    "goodput_low": 1e-6,
    "goodput_high": 1e-6,
    "link": 1e-6,
}


def _stretch(stretch: Stretch) -> dict[str, Any]:
    """A stretch in the units that are shown."""
    columns = {
        name: [None if value is None else float(f"{value * _SCALES.get(name, 1):.4g}") for value in values]
        for name, values in stretch.columns.items()
    }
    if columns["goodput_low"] == columns["goodput_high"]:
        columns["goodput_low"] = []
    return {"start": stretch.start_s, "step": stretch.step_s, "columns": columns}


def data(timelines: Mapping[int, Timeline]) -> dict[int, Any]:
    """What the page's script needs of each trial."""
    return {
        number: {
            "bands": [[name, round(start, 4), round(end, 4)] for name, start, end in line.bands],
            "marks": [[name, round(at, 4)] for name, at in line.marks],
            "whole": _stretch(line.whole),
            "switchover": line.switchover and _stretch(line.switchover),
        }
        for number, line in timelines.items()
    }


def _statistic(cell: Cell, key: str) -> str:
    statistic = cell.metrics.get(key)
    return _number(statistic, "median") if statistic else DASH


def _number(statistic: Statistic, name: str) -> str:
    return statistic.text(name, lambda value: human(value, statistic.unit)) or DASH


def quality(summary: Summary, shown: list[str]) -> dict[str, Any]:
    rows = [
        {
            "cell": cell_name(cell.factors, shown),
            "window": window,
            "length": _length(cell, window),
            "values": [_statistic(cell, key.format(window)) for key, _ in QUALITY],
        }
        for cell in summary.cells
        for window in WINDOWS
    ]
    return {"titles": [title for _, title in QUALITY], "rows": rows}


def _length(cell: Cell, window: str) -> str:
    """How long the window was, where its ratios and percentiles are compared across cells."""
    statistic = cell.metrics.get("switchover_s") if window == "switchover" else None
    return f", {_number(statistic, 'median')}" if statistic is not None and statistic.median is not None else ""


def grades(summary: Summary, shown: list[str]) -> list[dict[str, Any]]:
    """Of the medians of each cell. Delay: p95; jitter: the larger p95 of the differences of successive round trips and
    of those to the least one, for a queue that grows slowly shows in the latter alone; throughput: goodput by that of
    before, where there is nothing to hold it against."""
    rows = []
    for cell in summary.cells:
        for window in ("before", "switchover"):
            delay, loss = _median(cell, f"probe.rtt_s.{window}.p95"), _median(cell, f"probe.loss_ratio.{window}")
            jitter = max(
                (_median(cell, f"probe.{name}.{window}.p95") for name in ("rtt_variation_s", "rtt_pdv_s")),
                key=lambda median: -1.0 if median[0] is None else median[0],
            )
            reached, usual = (_median(cell, f"visitor.goodput_bps.{at}")[0] for at in (window, "before"))
            delays = tiphon.delay(delay[0], at_least=delay[1])
            others = [
                tiphon.jitter(jitter[0], at_least=jitter[1]),
                tiphon.loss(loss[0], at_least=loss[1]),
                *([tiphon.throughput(reached / usual if reached is not None and usual else None)]
                  if window != "before" else []),
            ]  # fmt: skip
            rows.append(
                {
                    "cell": cell_name(cell.factors, shown),
                    "window": window,
                    "delays": delays,
                    "others": others,
                    "overall": tiphon.overall([delays[0], *others]),
                }
            )
    return rows


def _median(cell: Cell, key: str) -> tuple[float | None, bool]:
    """The median of a figure, and whether it is a lower bound."""
    statistic = cell.metrics.get(key)
    return (None, False) if statistic is None else (statistic.median, "median" in statistic.at_least)


def sniffer(summary: Summary, shown: list[str]) -> list[dict[str, Any]]:
    """What a packet sniffer prints; nothing where the plan has no capture. It has no grades: it is no delay."""
    if not summary.plan["capture"]["enabled"]:
        return []
    rows = []
    for cell in summary.cells:
        for window in ("before", "switchover"):
            for series in SERIES:
                keys = [f"sniffer.{name}_s.{series}.{window}" for name in ("delay", "jitter")]
                rows.append(
                    {
                        "cell": cell_name(cell.factors, shown),
                        "window": window,
                        "series": series,
                        "values": [_statistic(cell, key) for key in keys],
                        "first": window == "before" and series == SERIES[0],
                        "last": series == SERIES[-1],
                    }
                )
    return rows


def calibration(summary: Summary) -> list[dict[str, Any]]:
    rows = sorted(summary.calibration or [], key=lambda row: row["nominal_s"] is not None)
    return [
        {
            "condition": Condition.of(row).words(),
            "quoted": row["quoted"],
            "layer": row["layer"],
            "truth": row["truth"],
            "pooled": row["nominal_s"] is None,
            "values": [
                "all" if row["nominal_s"] is None else human(row["nominal_s"], "s"),
                *(
                    DASH if row[name] is None else human(row[name], "s")
                    for name in ("bias_s", "abs_error_median_s", "abs_error_p95_s", "truth_bound_s")
                ),
                str(row["n"]),
            ],
        }
        for row in rows
    ]


def trial(trial: TrialResult, shown: list[str], calibration: list[dict[str, Any]] | None) -> dict[str, Any]:
    facts = trial.facts
    values = [_figure(trial.metrics.get(column.key), column, finest(column, calibration)) for column in COLUMNS[:7]]
    return {
        "number": facts.number,
        "block": facts.block,
        "factors": [factor_text(name, getattr(facts.factors, name)) for name in shown],
        "direction": f"{facts.source} → {facts.destination}",
        "status": facts.status,
        "reason": facts.briefly,
        "limited": {True: "yes", False: "no", None: "unknown"}[trial.limited],
        "verdict": trial.judgement,
        "signs": trial.shown.judgement if trial.shown is not None else None,
        "warnings": trial.warnings,
        "values": values,
    }


def _figure(measured: Measured | None, column: Column, step: float) -> str:
    if measured is None or measured.value is None:
        return DASH
    return at_least_text(figure(measured.value, column, step), at_least=measured.at_least)


def every(summary: Summary, shown: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "cell": cell_name(cell.factors, shown),
            "rows": [
                (
                    key,
                    *(_number(s, name) for name in ("median", "low", "high", "min", "max")),
                    DASH if s.coverage is None else f"{100 * s.coverage:.1f} %",
                    s.n,
                    s.reason or s.source,
                )
                for key, s in cell.metrics.items()
            ],
        }
        for cell in summary.cells
    ]


def flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, text) of each leaf of the environment."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, f"{path} {name.replace('_', ' ')}".strip())
    elif isinstance(value, list):
        yield path, " ".join(str(inner) for inner in value)
    elif path.endswith(" bytes"):
        yield path.removesuffix(" bytes"), human(value, "B")
    else:
        yield path, DASH if value is None else str(value)
