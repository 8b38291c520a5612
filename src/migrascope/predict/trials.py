"""Migrations that were made, as data for a model: what was known before each, and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from migrascope.predict.request import Request

Split = Literal["fit", "calibrate", "held-out"]


@dataclass(frozen=True)
class Outcome:
    """What was measured. ended: False where it was cancelled at its deadline, or failed to converge; a figure is None
    where it was not measured."""

    ended: bool
    time_s: float | None = None
    pause_s: float | None = None
    data_bytes: float | None = None
    rounds: int | None = None
    throttle: float | None = None


@dataclass(frozen=True)
class Trial:
    """cell: the name of all that was set; trials of one cell differ by chance alone."""

    cell: str
    request: Request
    outcome: Outcome
    split: Split = "fit"


def by_cell(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """The trials of each cell, in their order."""
    cells: dict[str, list[Trial]] = {}
    for trial in trials:
        cells.setdefault(trial.cell, []).append(trial)
    return cells
