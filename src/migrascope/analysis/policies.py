"""What each policy costs under each load, and which of them no other beats."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from migrascope.analysis.limit import Decided
from migrascope.analysis.results import Cell, TrialResult
from migrascope.model.schedule import Factors

TIME, OUTAGE = "migration_time_s", "network_outage_total_s"
COSTS = (
    TIME,
    "data_transferred_bytes",
    "vm_pause_s",
    "network_blackout_s",
    OUTAGE,
    "visitor.lost_s.during",
    "hypervisor_cpu_s.source",
    "hypervisor_cpu_s.destination",
)


@dataclass(frozen=True)
class PolicyCost:
    """One policy under one load. load: its factors without the policy. outcomes: trials by status. front: by the
    medians, no other policy without failures was faster without more outage, or had less outage without being slower.
    """

    cell: Cell
    load: Factors
    outcomes: dict[str, int]
    front: bool

    def as_json(self) -> dict[str, Any]:
        """The public form; the costs are those of the cell with these factors."""
        return {
            "policy": self.cell.factors.policy,
            "factors": vars(self.cell.factors),
            "outcomes": self.outcomes,
            "front": self.front,
            "limit_decided": vars(Decided.in_cell(self.cell)),
        }


def costs(cells: Sequence[Cell], trials: Sequence[TrialResult]) -> list[PolicyCost]:
    """Each policy under each load, by load; empty for a run of one policy."""
    if len({cell.factors.policy for cell in cells}) < 2:
        return []
    loads: dict[Factors, list[Cell]] = {}
    for cell in cells:
        loads.setdefault(replace(cell.factors, policy=""), []).append(cell)
    return [
        PolicyCost(cell, load, _outcomes(trials, cell), cell in _front(alike))
        for load, alike in sorted(loads.items(), key=lambda group: tuple(vars(group[0]).values()))
        for cell in alike
    ]


def _outcomes(trials: Sequence[TrialResult], cell: Cell) -> dict[str, int]:
    found: dict[str, int] = {}
    for trial in trials:
        if trial.facts.factors == cell.factors:
            found[trial.facts.status] = found.get(trial.facts.status, 0) + 1
    return found


def _front(cells: list[Cell]) -> list[Cell]:
    """The Pareto front over migration time and outage total, of the policies that never failed. A median that was cut
    off may be any more: it beats none."""
    points = [(cell, point) for cell in cells if not cell.failed for point in [_point(cell)] if point is not None]
    return [
        cell
        for cell, (time, outage) in points
        if not any(other[0] <= time and other[1] <= outage and other != (time, outage) for _, other in points)
    ]


def _point(cell: Cell) -> tuple[float, float] | None:
    found = [cell.metrics[key] for key in (TIME, OUTAGE) if key in cell.metrics]
    time, outage = (
        (inf if "median" in statistic.at_least else statistic.median for statistic in found)
        if len(found) == 2
        else (None, None)
    )
    return None if time is None or outage is None else (time, outage)
