"""Intervals that hold what they promise, from how far predictions were off in cells that no fit has seen.

Hierarchical split conformal (Lee, Barber, Willett: Distribution-free inference with hierarchical data, 2023,
arXiv:2306.06342): each calibration cell weighs the same, its trials share that weight, and the cell to come has as much
at infinity. The interval covers a new trial of a new cell with the level or more, whatever the model and the errors
are, as long as cells are drawn alike; trials of one cell need not be independent of one another.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.9


@dataclass(frozen=True)
class Margin:
    """How far a prediction may be off. value: None where there is none, for the reason why. cells: how many it is
    from."""

    value: float | None
    cells: int
    why: str = ""


def fewest(level: float = LEVEL) -> int:
    """Below so many cells an interval of this level is infinite."""
    return math.ceil(level / (1 - level) - 1e-9)


def margin(scores: Mapping[str, Sequence[float]], level: float = LEVEL) -> Margin:
    """The score that a trial of a new cell does not exceed with this level. scores: by cell, how far each of its trials
    was off; infinite where that has no bound. Cells without one do not count."""
    cells = [list(each) for each in scores.values() if each]
    count = len(cells)
    if count < fewest(level):
        words = f"{count} calibration cells allow no interval of {100 * level:.0f} %: at least {fewest(level)}"
        return Margin(None, count, words)
    weighed = sorted((score, 1 / ((count + 1) * len(each))) for each in cells for score in each)
    total = 0.0
    for score, weight in weighed:
        total += weight
        if total >= level - 1e-12:
            if math.isinf(score):
                break
            return Margin(score, count)
    return Margin(None, count, f"in more than {100 * (1 - level):.0f} % of the cells the error had no bound")


def coverage_of(inside: Mapping[str, Sequence[bool]]) -> float | None:
    """The share of trials within their intervals, each cell with the same weight; None without one."""
    shares = [sum(each) / len(each) for each in inside.values() if each]
    return sum(shares) / len(shares) if shares else None
