"""Cells: the trials that share their factors, and the statistics over them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from migrascope.analysis.doses import all_series, convergence
from migrascope.analysis.findings import findings
from migrascope.analysis.fleet import fleet_costs
from migrascope.analysis.meter_error import meter_error
from migrascope.analysis.networks import network_costs
from migrascope.analysis.policies import costs
from migrascope.analysis.results import Cell, TrialResult
from migrascope.analysis.statistics import statistic
from migrascope.analysis.summary import Summary
from migrascope.model.calibration import Calibration
from migrascope.model.family import FIRST
from migrascope.model.load import Load
from migrascope.model.schedule import Factors


def summarise(
    manifest: dict[str, Any],
    plan: dict[str, Any],
    results: Sequence[TrialResult],
    calibration: Calibration | None,
    load: Load | None = None,
) -> Summary:
    """A run from its trials' results. plan is in base units; lab, accelerator and QEMU are those of the trials. load:
    without one no calibration is quoted."""
    environment = {**manifest, **(results[0].facts.facts if results else {})}
    cells = [_cell(factors, group) for factors, group in by_factors(results).items()]
    doses = all_series(cells, results)
    families = len(plan.get("families", [FIRST]))
    rate = plan["probes"]["echo_rate"] * families
    whole = load and load.over(families)
    return Summary(
        run=str(manifest.get("id", "")),
        lab=str(environment.get("lab", plan["lab"]["kind"])),
        accelerator=str(environment.get("accelerator", "unknown")),
        qemu=str(environment.get("qemu", "unknown")),
        cells=cells,
        findings=[
            *convergence(doses),
            *findings(results, str(environment.get("accelerator", "unknown")), meter_error(calibration, whole, rate)),
        ],
        trials=list(results),
        policies=costs(cells, results),
        networks=network_costs(results),
        fleet=fleet_costs(cells, results),
        doses=doses,
        plan=plan,
        environment=environment,
        calibration=None if calibration is None else calibration.quoted(whole, rate),
        load=load,
    )


def by_factors(results: Sequence[TrialResult]) -> dict[Factors, list[TrialResult]]:
    """The trials of each cell, cells in a fixed order: scenario as people list them, then the other factors."""
    groups: dict[Factors, list[TrialResult]] = {}
    for result in results:
        groups.setdefault(result.facts.factors, []).append(result)
    return {factors: groups[factors] for factors in sorted(groups, key=_order)}


SCENARIOS = ("none", "offline", "online", "relay")


def _order(factors: Factors) -> tuple[Any, ...]:
    rest = {key: value for key, value in vars(factors).items() if key != "scenario"}
    return (SCENARIOS.index(factors.scenario), *rest.values())


def _cell(factors: Factors, group: list[TrialResult]) -> Cell:
    good = [result for result in group if result.facts.status == "ok"]
    keys = dict.fromkeys(key for result in group for key in result.metrics)
    failures = [f"trial {r.facts.number}: {r.facts.status}: {r.facts.reason}" for r in group if r not in good]
    return Cell(
        factors=factors,
        trials=len(group),
        failed=len(group) - len(good),
        limited=sum(result.limited is True for result in good),
        limit_unknown=sum(result.limited is None for result in good),
        failures=failures,
        metrics={key: statistic([result.metrics[key] for result in good if key in result.metrics]) for key in keys},
        verdicts=dict(Counter(result.judgement.verdict for result in group)),
    )
