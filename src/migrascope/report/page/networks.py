"""What each network costs visitors, and why: a table for the terminal and the page, bars of the blackout's steps."""

from typing import Any

from migrascope.analysis.networks import NetworkCost
from migrascope.analysis.summary import Summary
from migrascope.metrics.blackout_steps import STEPS, UNEXPLAINED
from migrascope.model.units import human
from migrascope.report.charts.stack import Look, Scale, drawn
from migrascope.report.columns import DASH, factor_text, factor_title, varying

WHY = "Longest steps"
TITLES = {
    "network_blackout_s": "Network blackout",
    "http_new_blackout_s": "New visitors",
    "http_kept_blackout_s": "Kept connections",
    "migration_time_s": "Time",
}
_SHOWN, _LEAST = 2, 0.1
"""As many steps are named at most, each of so large a part of the blackout at least."""
_TONES = {"before_stop": "early", "pause": "pause", "answer": "reply", "repeats": "reply", UNEXPLAINED: "unexplained"}
KEY = {
    "early": "before the VM stops",
    "pause": "VM pause",
    "late": "the network, until it brings the instance's frames",
    "reply": "the instance's own answer",
    "unexplained": "unexplained",
}
_NAMES = {name: name.replace("_", " ") for name in (*STEPS, UNEXPLAINED)}
_LOOK = Look("ms", 0, _NAMES, {name: f"share-{_TONES.get(name, 'late')}" for name in _NAMES}, _NAMES, fits=12)
NOTE = (
    "Medians of the trials without a disturbance, the network with the least blackout over both directions first: how "
    "long the network brought nothing, and how long visitors had no page on new and on kept connections. To: where the "
    "server went. Longest steps: those of the network blackout that took a tenth of it or more, in the mean."
)


def table(summary: Summary) -> dict[str, Any] | None:
    """Heads, rows, bars and note; None for a run of one network."""
    found = summary.networks
    if not found:
        return None
    loads = varying([cost.load for cost in found])
    return {
        "heads": [*map(factor_title, loads), "Network", "To", "Trials", *TITLES.values(), WHY],
        "named": len(loads) + 2,
        "rows": [
            [
                *(factor_text(name, getattr(cost.load, name)) for name in loads),
                cost.network, cost.destination, str(cost.trials),
                *(_median(cost, key) for key in TITLES),
                _why(cost),
            ]
            for cost in found
        ],
        "key": KEY,
        "bars": _bars(found, loads),
        "note": NOTE,
    }  # fmt: skip


def _bars(found: list[NetworkCost], loads: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """The steps of each mean blackout, ms, one after another."""
    sizes = [{name: 1e3 * seconds for name, seconds in cost.steps.items()} for cost in found]
    scale = Scale.of(sizes, 1.12)
    return [(_name(cost, loads), drawn(parts, scale, _LOOK)) for cost, parts in zip(found, sizes, strict=True) if parts]


def _name(cost: NetworkCost, loads: list[str]) -> str:
    load = [factor_text(name, getattr(cost.load, name)) for name in loads]
    return f"{' · '.join([*load, cost.network])}, {cost.source} → {cost.destination}"


def _median(cost: NetworkCost, key: str) -> str:
    statistic = cost.costs[key]
    return statistic.text("median", lambda value: human(value, statistic.unit)) or DASH


def _why(cost: NetworkCost) -> str:
    """The longest steps with their lengths; a dash where the blackout has no steps."""
    whole = sum(cost.steps.values())
    longest = sorted(cost.steps.items(), key=lambda step: -step[1])[:_SHOWN]
    told = [f"{_NAMES[name]} {human(mean, 's')}" for name, mean in longest if mean >= _LEAST * whole]
    return ", ".join(told) or DASH
