"""What advice costs: of the ways in which a guest was migrated, the one that a model chooses beside the best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from migrascope.predict.advice import Mind, cost, preference
from migrascope.predict.collected import METRIC, SET
from migrascope.predict.dataset import trials_of
from migrascope.predict.learnt import Predicts
from migrascope.predict.request import NotPredicted
from migrascope.predict.seen import LOAD
from migrascope.predict.trials import Trial
from migrascope.predict.verified import FIGURES, NOVA_DOWNTIME_S

NOVA = "nova"
"""The policy with Nova's steps, which with a limit of NOVA_DOWNTIME_S has Nova's defaults: what advice is held against,
and none of what it chooses from."""
SAME = ("run", "block", "accelerator", *(SET + name for name in (*LOAD, "link_bps", "disturbance")))
"""Columns in which the trials of one guest, tried in several ways, agree."""


@dataclass(frozen=True)
class Way:
    """A way in which a guest was migrated. writes: whether it was made to. costs: what was measured of what is minded,
    infinite where it did not end; without what was not measured."""

    policy: str
    limit_s: float
    trial: Trial
    writes: bool
    costs: Mapping[Mind, float]


@dataclass(frozen=True)
class Choice:
    """What a model chose. ways: from so many that it can predict. best: the least of all that were measured. nova: what
    Nova's defaults cost, None where they were not tried."""

    way: Way
    cost: float
    best: float
    ways: int
    nova: float | None

    @property
    def regret(self) -> float:
        """By how much, as a share, it cost more than the best."""
        return math.inf if math.isinf(self.cost) else self.cost / self.best - 1


def held_out(table: pl.DataFrame, path: Path) -> list[list[Way]]:
    """The held-out guests of a table, each with the ways in which it was migrated in one block. Empty where the table
    does not say what was set. path: where it is from."""
    if not set(SAME) <= set(table.columns):
        return []
    usable = table.filter((pl.col("why") == "") & (pl.col("split") == "held-out"))
    found: dict[tuple[Any, ...], list[Way]] = {}
    for row, trial in zip(usable.rows(named=True), trials_of(usable, path), strict=True):
        way = Way(
            row[f"{SET}policy"], row[f"{SET}downtime_limit_s"], trial, row[f"{SET}write_Bps"] > 0, _costs(row)
        )  # fmt: skip
        found.setdefault(tuple(row[name] for name in SAME), []).append(way)
    return list(found.values())


def _costs(row: Mapping[str, Any]) -> dict[Mind, float]:
    cut = str(row.get("at_least") or "").split()
    found: dict[Mind, float] = {}
    for mind, (key, _) in FIGURES.items():
        value = row.get(f"{METRIC}{key}")
        if not row["ended"]:
            found[mind] = math.inf
        elif value is not None and key not in cut:
            found[mind] = value
    return found


def choices(guests: Sequence[Sequence[Way]], predictor: Predicts, mind: Mind) -> list[Choice]:
    """What is chosen for each guest of which a choice can be told right from wrong: two ways at least, one of which
    came to its end. All are predicted from what was sampled before the first of them, as advice is before any."""
    found = []
    for guest in guests:
        measured = [way for way in guest if mind in way.costs]
        best = min((way.costs[mind] for way in measured), default=math.inf)
        open_to = [(way, rank) for way in measured if (rank := _rank(way, guest[0], predictor, mind)) is not None]
        if len(open_to) < 2 or math.isinf(best) or best <= 0:
            continue
        way = min(open_to, key=lambda each: each[1])[0]
        nova = next((each.costs[mind] for each in measured if _is_default(each)), None)
        found.append(Choice(way, way.costs[mind], best, len(open_to), nova))
    return found


def _is_default(way: Way) -> bool:
    return way.policy == NOVA and way.limit_s == NOVA_DOWNTIME_S


def _rank(way: Way, sampled: Way, predictor: Predicts, mind: Mind) -> tuple[bool, float, float] | None:
    """By which advice puts it in order; None where it cannot be advised."""
    if way.policy == NOVA:
        return None
    request = replace(way.trial.request, guest=sampled.trial.request.guest)
    try:
        prediction = predictor.predict(request)
    except NotPredicted:
        return None
    return preference(prediction, cost(mind, prediction, request.settings.deadline_s))
