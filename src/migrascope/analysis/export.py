"""The public JSON of a run: what `show --json` prints."""

from dataclasses import asdict
from typing import Any

from migrascope.analysis.limit import Decided
from migrascope.analysis.results import Cell, Statistic
from migrascope.analysis.summary import SCHEMA, Summary


def summary_json(summary: Summary) -> dict[str, Any]:
    """The run as plain data in base units (s, B, bit/s, B/s, ratio). What was not measured is null with a reason."""
    return {
        "schema": SCHEMA,
        "run": summary.run,
        "lab": summary.lab,
        "accelerator": summary.accelerator,
        "qemu": summary.qemu,
        "cells": [_cell(cell) for cell in summary.cells],
        "policies": [cost.as_json() for cost in summary.policies],
        "networks": [cost.as_json() for cost in summary.networks],
        "fleet": [cost.as_json() for cost in summary.fleet],
        "findings": [asdict(finding) for finding in summary.findings],
        "calibration": summary.calibration,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "factors": asdict(cell.factors),
        "trials": cell.trials,
        "failed": cell.failed,
        "limited": cell.limited,
        "limit_decided": vars(Decided.in_cell(cell)),
        "failures": cell.failures,
        "verdicts": cell.verdicts,
        "metrics": {key: _statistic(value) for key, value in cell.metrics.items()},
    }


def _statistic(value: Statistic) -> dict[str, Any]:
    plain = asdict(value)
    if value.reason is None:
        del plain["reason"]
    if not value.at_least:
        del plain["at_least"]
    return plain
