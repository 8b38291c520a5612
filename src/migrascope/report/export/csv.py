"""The report's tables as CSV, in base units: every column of a number names its unit in brackets."""

import csv
import io
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from migrascope.analysis.summary import Summary
from migrascope.model.schedule import Factors

FACTORS = [field.name for field in fields(Factors)]
_FORMULA = "=+-@\t\r"
STATISTICS = ("median", "low", "high", "coverage", "min", "max", "n", "censored")


def tables(summary: Summary) -> dict[str, tuple[str, str]]:
    """File name -> (what it holds, its text)."""
    found = {
        "trials.csv": ("a row for each trial: factors, status, verdict and every metric", _trials(summary)),
        "cells.csv": ("a row for each cell and metric: median, interval, range, count", _cells(summary)),
    }
    if summary.calibration:
        found["calibration.csv"] = ("the meter's error on this machine", _calibration(summary.calibration))
    return found


def _text(rows: Iterable[Iterable[Any]]) -> str:
    """RFC 4180; nothing where there is no value, and numbers as Python writes them, so that they read back exactly.
    Text that a spreadsheet would run as a formula begins with an apostrophe."""
    out = io.StringIO()
    csv.writer(out).writerows([map(_inert, row) for row in rows])
    return out.getvalue()


def _inert(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA and cell else cell


def _trials(summary: Summary) -> str:
    units = {key: measured.unit for trial in summary.trials for key, measured in trial.metrics.items()}
    head = [
        "trial",
        "block",
        "source",
        "destination",
        *FACTORS,
        "status",
        "reason",
        "limited",
        "verdict",
        "because",
        "at_least",
    ]
    rows: list[list[Any]] = [head + [f"{key} [{unit}]" for key, unit in units.items()]]
    for trial in summary.trials:
        facts = trial.facts
        rows.append(
            [facts.number, facts.block, facts.source, facts.destination]
            + [getattr(facts.factors, name) for name in FACTORS]
            + [facts.status, facts.reason, trial.limited, trial.judgement.verdict, trial.judgement.text]
            + [" ".join(key for key, measured in trial.metrics.items() if measured.at_least)]
            + [trial.metrics[key].value if key in trial.metrics else None for key in units]
        )
    return _text(rows)


def _cells(summary: Summary) -> str:
    rows: list[list[Any]] = [
        [
            *FACTORS,
            "trials",
            "failed",
            "limited",
            "limit_unknown",
            "metric",
            "unit",
            *STATISTICS,
            "at_least",
            "source",
            "reason",
        ]
    ]
    for cell in summary.cells:
        factors = [getattr(cell.factors, name) for name in FACTORS]
        for key, statistic in cell.metrics.items():
            rows.append(
                [*factors, cell.trials, cell.failed, cell.limited, cell.limit_unknown, key, statistic.unit]
                + [getattr(statistic, name) for name in STATISTICS]
                + [" ".join(statistic.at_least), statistic.source, statistic.reason]
            )
    return _text(rows)


def _calibration(calibration: list[dict[str, Any]]) -> str:
    names = list(calibration[0])
    return _text([names, *([row[name] for name in names] for row in calibration)])
