"""How a figure changes with the data, where a dose that the plan sets is what changes them: an exact interval of the
slope, by permuting the doses."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
FEWEST_PERMUTATIONS = 40
"""With fewer, not even the outermost one of them is as rare as an interval of 95 % asks for."""
MOST_PERMUTATIONS = 100_000
DRAWN = 20_000
"""So many permutations are drawn where there are more than can be gone through; the interval stays exact."""

ROUNDING = 1e-12
"""Of the size of what is added up: sums closer than that are the same."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Unit:
    """One cell: what else was set (stratum), the dose, and its medians of data (x) and figure (y)."""

    stratum: Hashable
    dose: float
    x: float
    y: float


@dataclass(frozen=True)
class Slope:
    """By how much y changes with x, with the interval and its true coverage; from so many cells, in strata of several
    doses each, and so many permutations of the doses."""

    slope: float
    low: float
    high: float
    coverage: float
    cells: int
    strata: int
    permutations: int

    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of zero, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def dosed(units: Sequence[Unit]) -> list[Unit]:
    """The units whose stratum has more than one dose: of the others a dose says nothing."""
    doses = Counter(stratum for stratum, _ in {(unit.stratum, unit.dose) for unit in units})
    return [unit for unit in units if doses[unit.stratum] > 1]


def slope(units: Sequence[Unit]) -> Slope | str:
    """The slope of y over x by the doses, as an instrument (Imbens and Rosenbaum 2005), or why there is none.

    A slope is in the interval where y - slope * x does not go with the dose: where the doses, permuted within strata
    in every way, give as large a sum of dose * (y - slope * x) often enough. That assumes that but for x a cell of a
    stratum is as likely to lie high at one dose as at another, and that y is straight in x; no distribution is assumed.
    """
    there = dosed(units)
    strata = [
        [unit for unit in there if unit.stratum == name] for name in dict.fromkeys(unit.stratum for unit in there)
    ]
    if not strata:
        return "no dose was set"
    count = math.prod(math.factorial(len(stratum)) for stratum in strata)
    if count < FEWEST_PERMUTATIONS:
        return f"{count} permutations of the doses, {FEWEST_PERMUTATIONS} are needed"
    up, across, true = _sums(strata, count)
    gained, rise = across[0] - across[~true], up[0] - up[~true]
    if not (gained > ROUNDING * sum(abs(unit.dose * unit.x) for unit in there)).all():
        return "a larger dose did not carry more data throughout"
    rise[np.abs(rise) <= ROUNDING * sum(abs(unit.dose * unit.y) for unit in there)] = 0.0
    slopes = np.sort(rise / gained)
    of = len(up)
    tail = int((1 - LEVEL) / 2 * of + 1e-9)
    k = tail + 1 - int(true.sum())  # the true one, drawn again, is on both sides
    low, high = float(slopes[k - 1]), float(slopes[-k])
    return Slope(float(up[0] / across[0]), low, high, 1 - 2 * tail / of, len(there), len(strata), of)


def _sums(strata: Sequence[Sequence[Unit]], count: int) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
    """The sums of dose * y and of dose * x for every permutation (or many that are drawn), the true one first, and
    which of them are the true one."""
    chance = np.random.default_rng(1) if count > MOST_PERMUTATIONS else None
    rows = 1 if chance is None else DRAWN
    up, across, true = np.zeros(rows), np.zeros(rows), np.ones(rows, dtype=bool)
    for stratum in strata:
        columns = np.array([(unit.dose, unit.x, unit.y) for unit in stratum], dtype=float)
        doses, x, y = (columns - columns.mean(axis=0)).T
        if chance is None:
            ways = np.array(list(permutations(doses)))
            up, across = (np.add.outer(sums, ways @ values).ravel() for sums, values in ((up, y), (across, x)))
            true = np.logical_and.outer(true, (ways == doses).all(axis=1)).ravel()
        else:
            ways = np.vstack([doses, chance.permuted(np.tile(doses, (DRAWN - 1, 1)), axis=1)])
            up, across, true = up + ways @ y, across + ways @ x, true & (ways == doses).all(axis=1)
    return up, across, true
