"""Cells: the trials that share their factors, and the statistics over them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from migrascope.analysis.doses import convergence
from migrascope.analysis.findings import findings
from migrascope.analysis.statistics import median_interval
from migrascope.analysis.summary import Cell, Statistic, Summary, TrialResult
from migrascope.model.load import Load
from migrascope.model.measured import Measured
from migrascope.model.schedule import Factors


def summarise(
    manifest: dict[str, Any],
    plan: dict[str, Any],
    results: Sequence[TrialResult],
    calibration: list[dict[str, Any]] | None,
    load: Load | None = None,
) -> Summary:
    """A run from its trials' results. plan is in base units; lab, accelerator and QEMU are those of the trials."""
    environment = {**manifest, **(results[0].facts.facts if results else {})}
    cells = [_cell(factors, group) for factors, group in by_factors(results).items()]
    return Summary(
        run=str(manifest.get("id", "")),
        lab=str(environment.get("lab", plan["lab"]["kind"])),
        accelerator=str(environment.get("accelerator", "unknown")),
        qemu=str(environment.get("qemu", "unknown")),
        cells=cells,
        findings=[
            *convergence(cells, results),
            *findings(results, str(environment.get("accelerator", "unknown")), calibration),
        ],
        trials=list(results),
        plan=plan,
        environment=environment,
        calibration=calibration,
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
        failures=failures,
        metrics={key: statistic([result.metrics[key] for result in good if key in result.metrics]) for key in keys},
        verdicts=dict(Counter(result.judgement.verdict for result in group)),
    )


def statistic(measured: Sequence[Measured]) -> Statistic:
    """One metric over the trials of a cell that did not fail."""
    there = [one for one in measured if one.value is not None]
    if not there:
        reasons = Counter(one.reason for one in measured)
        reason = reasons.most_common(1)[0][0] if reasons else "every trial failed"
        unit, source = (measured[0].unit, measured[0].source) if measured else ("", "")
        return Statistic(unit, source, reason=reason)
    values = [float(one.value) for one in there if one.value is not None]
    interval = median_interval(values)
    return Statistic(
        unit=there[0].unit,
        source=there[0].source,
        median=float(np.median(values)),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        coverage=interval.coverage if interval else None,
        min=min(values),
        max=max(values),
        n=len(values),
    )
