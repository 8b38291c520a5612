"""What each network costs visitors, in each direction, and which steps of the blackout took it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import fmean
from typing import Any

from migrascope.analysis.results import Statistic, TrialResult
from migrascope.analysis.statistics import statistic
from migrascope.metrics.blackout_steps import KEYS
from migrascope.model.schedule import Factors

BLACKOUT = "network_blackout_s"
COSTS = (BLACKOUT, "http_new_blackout_s", "http_kept_blackout_s", "migration_time_s")


@dataclass(frozen=True)
class NetworkCost:
    """One network under one load, in one direction, over the trials without a disturbance that did not fail.

    load: its factors without the network. costs: the statistic of each of COSTS. steps: the mean of each step of the
    blackout, s, and what none of them took, over the trials that have them: together they are the mean blackout.
    """

    network: str
    load: Factors
    source: str
    destination: str
    trials: int
    costs: dict[str, Statistic]
    steps: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """The public form."""
        return {
            "network": self.network,
            "factors": vars(replace(self.load, network=self.network)),
            "source": self.source,
            "destination": self.destination,
            "trials": self.trials,
            "medians": {key: cost.median for key, cost in self.costs.items()},
            "steps": self.steps,
        }


def network_costs(results: Sequence[TrialResult]) -> list[NetworkCost]:
    """Each network in each direction, by load, first the network with the least median blackout over both directions;
    empty for a run of one network."""
    counted = [each for each in results if each.facts.factors.disturbance == "none" and each.facts.status == "ok"]
    if len({each.facts.factors.network for each in counted}) < 2:
        return []
    groups: dict[tuple[Factors, str], dict[tuple[str, str], list[TrialResult]]] = {}
    for each in counted:
        factors = each.facts.factors
        ways = groups.setdefault((replace(factors, network=""), factors.network), {})
        ways.setdefault((each.facts.source, each.facts.destination), []).append(each)

    def order(group: tuple[Factors, str]) -> tuple[Any, ...]:
        load, network = group
        blackout = _statistic([trial for each in groups[group].values() for trial in each], BLACKOUT).median
        return *vars(load).values(), inf if blackout is None else blackout, network

    return [
        _cost(load, network, way, trials)
        for load, network in sorted(groups, key=order)
        for way, trials in sorted(groups[load, network].items())
    ]


def _cost(load: Factors, network: str, way: tuple[str, str], trials: list[TrialResult]) -> NetworkCost:
    stepped = [steps for trial in trials if (steps := _steps(trial))]
    steps = {key: fmean(each[key] for each in stepped) for key in KEYS} if stepped else {}
    costs = {key: _statistic(trials, key) for key in COSTS}
    return NetworkCost(network, load, *way, len(trials), costs, _named(steps))


def _steps(trial: TrialResult) -> dict[str, float]:
    """The steps of a trial's blackout; one that there was not took nothing. Empty where none is known."""
    known = {key: trial.metrics[key].value for key in KEYS if key in trial.metrics}
    return {key: known.get(key) or 0.0 for key in KEYS} if any(known.values()) else {}


def _named(steps: dict[str, float]) -> dict[str, float]:
    return {key.partition(".")[2]: mean for key, mean in steps.items() if mean}


def _statistic(trials: Sequence[TrialResult], key: str) -> Statistic:
    return statistic([trial.metrics[key] for trial in trials if key in trial.metrics])
