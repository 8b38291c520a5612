"""What migrating several costs beside one alone: each cell of a fleet, and its ratio to the cell with one instance."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from migrascope.analysis.results import Cell, Statistic, TrialResult, counted
from migrascope.analysis.statistics import Bounds, bounds_of, statistic
from migrascope.metrics.fleet import FIGURES
from migrascope.model.measured import Measured
from migrascope.model.schedule import Factors

TOTAL = "fleet.total_s"
SLOWER = ("from_request_s", "migration_time_s", "blackout_s")
"""Figures of an instance that are compared with those of one alone."""


@dataclass(frozen=True)
class Slowdown:
    """How many times the figure of one alone, in the same block: the median over the blocks that have both, with its
    exact interval (None below six) and its true coverage. at_least: which of these numbers are lower bounds."""

    ratio: float
    low: float | None
    high: float | None
    coverage: float | None
    blocks: int
    at_least: tuple[str, ...] = ()


@dataclass(frozen=True)
class FleetCost:
    """One cell. total: of all its instances, figures: FIGURES, each the median over the instances of a trial; both over
    the trials. slowdown: of SLOWER; None where no block has both, empty for one alone itself."""

    cell: Cell
    total: Statistic
    figures: dict[str, Statistic]
    slowdown: dict[str, Slowdown | None]

    def as_json(self) -> dict[str, Any]:
        """For programs; the figures of each instance are metrics of the cell."""
        return {
            "instances": self.cell.factors.instances,
            "factors": vars(self.cell.factors),
            "total_s": asdict(self.total),
            "figures": {key: asdict(figure) for key, figure in self.figures.items()},
            "slowdown": {key: slowdown and asdict(slowdown) for key, slowdown in self.slowdown.items()},
        }


def fleet_costs(cells: Sequence[Cell], trials: Sequence[TrialResult]) -> list[FleetCost]:
    """A row for each cell of a fleet, by its factors; empty where the run has none."""
    return [_cost(cell, trials) for cell in cells if TOTAL in cell.metrics]


def _cost(cell: Cell, trials: Sequence[TrialResult]) -> FleetCost:
    alone = replace(cell.factors, instances=1)
    several = cell.factors != alone
    return FleetCost(
        cell,
        cell.metrics[TOTAL],
        {key: cell.metrics[_key(key)] for key in FIGURES},
        {key: _slowdown(trials, cell.factors, alone, _key(key)) for key in SLOWER if several},
    )


def _key(figure: str) -> str:
    return f"fleet.{figure}.median"


def _slowdown(trials: Sequence[TrialResult], many: Factors, alone: Factors, key: str) -> Slowdown | None:
    theirs, ones = (_by_block(counted(trials, factors), key) for factors in (many, alone))
    ratios = [_ratio(theirs[block], ones[block]) for block in theirs.keys() & ones.keys() if ones[block].low]
    if not ratios:
        return None
    found = statistic([Measured(ratio.low, "ratio", TOTAL, at_least=ratio.high > ratio.low) for ratio in ratios])
    assert found.median is not None
    return Slowdown(found.median, found.low, found.high, found.coverage, found.n, found.at_least)


def _ratio(many: Bounds, alone: Bounds) -> Bounds:
    return Bounds(many.low / alone.high, many.high / alone.low)


def _by_block(trials: list[TrialResult], key: str) -> dict[int, Bounds]:
    values = {trial.facts.block: bounds_of(trial.metrics[key]) for trial in trials}
    return {block: value for block, value in values.items() if value is not None}
