"""A whole run, as data."""

from dataclasses import dataclass
from typing import Any

from migrascope.analysis.doses import Series
from migrascope.analysis.fleet import FleetCost
from migrascope.analysis.networks import NetworkCost
from migrascope.analysis.policies import PolicyCost
from migrascope.analysis.results import Cell, Finding, TrialResult, counted
from migrascope.model.load import Load
from migrascope.model.schedule import Factors, in_second_part

SCHEMA = 1


@dataclass(frozen=True)
class Summary:
    """A whole run. plan: in base units, with the load's numbers. environment: machine, kernel, versions, as
    manifest.json has them. calibration: the rows of the stored calibration of this machine, each with whether it is
    quoted, since it was made under a load like the run's; or None. load: how many visits and viewers there were and how
    that was found; None where the run does not say. policies, networks, fleet, doses: what each policy and each network
    costs, what several instances cost beside one, what each dose of a load adds; empty where none are compared."""

    run: str
    lab: str
    accelerator: str
    qemu: str
    cells: list[Cell]
    findings: list[Finding]
    trials: list[TrialResult]
    policies: list[PolicyCost]
    networks: list[NetworkCost]
    fleet: list[FleetCost]
    doses: list[Series]
    plan: dict[str, Any]
    environment: dict[str, Any]
    calibration: list[dict[str, Any]] | None = None
    load: Load | None = None

    def first_part(self) -> list[Cell]:
        """The cells of the plan's axes, without those of its second part."""
        return [cell for cell in self.cells if not in_second_part(self.plan, cell.factors)]

    def counted(self, factors: Factors) -> list[TrialResult]:
        """The trials of a cell that did not fail, in their order: those that its statistics are of."""
        return counted(self.trials, factors)
