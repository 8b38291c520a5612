"""Migrations that were made, as data for a model: what was known before each, and what came of it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from migrascope.predict.request import Request

Split = Literal["fit", "calibrate", "held-out"]
SPLITS: tuple[Split, ...] = get_args(Split)
HELD_OUT_PATTERNS = ("hot",)
"""Whole patterns of a writer that no fit and no interval has seen."""
HELD_OUT_LINKS_BPS = (500e6,)
"""And a link rate."""
_ONE_IN = 3


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


def split_of(cell: str, pattern: str, link_bps: float) -> Split:
    """What a cell is for, by its name alone, so that it stays so whatever is measured later: held out by its pattern or
    its link; of the others each third, by the SHA-256 of its name, calibrates."""
    if pattern in HELD_OUT_PATTERNS or link_bps in HELD_OUT_LINKS_BPS:
        return "held-out"
    return "fit" if int(hashlib.sha256(cell.encode()).hexdigest()[:8], 16) % _ONE_IN else "calibrate"


def by_cell(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """The trials of each cell, in their order."""
    cells: dict[str, list[Trial]] = {}
    for trial in trials:
        cells.setdefault(trial.cell, []).append(trial)
    return cells
