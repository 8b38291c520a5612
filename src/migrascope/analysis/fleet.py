"""What migrating several costs beside one alone: each cell of a fleet, and its ratio to the cell with one instance."""

from dataclasses import dataclass, replace
from typing import Any

from migrascope.analysis.summary import Cell
from migrascope.metrics.fleet import FIGURES

TOTAL = "fleet.total_s"
SLOWER = ("from_request_s", "migration_time_s", "blackout_s")
"""Figures of an instance that are compared with those of one alone."""


@dataclass(frozen=True)
class FleetCost:
    """One cell. medians: of FIGURES over its instances, s. slowdown: of SLOWER, the cell's median over that of the cell
    with one instance and the same other factors; None where either was not measured, empty for that cell itself."""

    cell: Cell
    total_s: float | None
    medians: dict[str, float | None]
    slowdown: dict[str, float | None]

    def as_json(self) -> dict[str, Any]:
        """For programs; the figures of each instance are metrics of the cell."""
        return {
            "instances": self.cell.factors.instances, "factors": vars(self.cell.factors), "total_s": self.total_s,
            "medians": self.medians, "slowdown": self.slowdown,
        }  # fmt: skip


def fleet_costs(cells: list[Cell]) -> list[FleetCost]:
    """A row for each cell of a fleet, by its factors; empty where the run has none."""
    found = [cell for cell in cells if TOTAL in cell.metrics]
    alone = {cell.factors: cell for cell in found if cell.factors.instances == 1}
    return [_cost(cell, alone.get(replace(cell.factors, instances=1))) for cell in found]


def _cost(cell: Cell, alone: Cell | None) -> FleetCost:
    medians = {key: _median(cell, f"fleet.{key}.median") for key in FIGURES}
    slowdown = {}
    if cell is not alone:
        for key in SLOWER:
            one, many = _median(alone, f"fleet.{key}.median") if alone else None, medians[key]
            slowdown[key] = many / one if many is not None and one else None
    return FleetCost(cell, _median(cell, TOTAL), medians, slowdown)


def _median(cell: Cell, key: str) -> float | None:
    return cell.metrics[key].median if key in cell.metrics else None
