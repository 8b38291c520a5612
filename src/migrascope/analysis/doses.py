"""Dose against effect: what each dose of a load costs beside the undisturbed trials of the same run, and where
convergence ends."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from migrascope.analysis.results import Cell, Finding, TrialResult
from migrascope.analysis.statistics import Bounds, Paired, bounds_of, paired_difference
from migrascope.model.disturbance import NONE
from migrascope.model.kinds import KINDS
from migrascope.model.schedule import Factors
from migrascope.model.units import byte_rate_text, duration_text, human, number_of, size_text

EFFECTS = (
    "migration_time_s",
    "vm_pause_s",
    "network_blackout_s",
    "http_new_blackout_s",
    "http_kept_blackout_s",
    "player_stall_s",
    "data_transferred_bytes",
    "probe.rtt_s.switchover.p95",
    "probe.loss_ratio.switchover",
    "visitor.goodput_bps.switchover",
)
_AIM = ("kind", "target", "way", "pattern")
_TEXTS: dict[str, Callable[[Any], str]] = {
    "working_set": size_text, "duration": duration_text, "offset": duration_text, "write_rate": byte_rate_text,
}  # fmt: skip


@dataclass(frozen=True)
class Dose:
    """One dose. outcomes: trials by status. against: by metric, how much more it is than in undisturbed trials, paired
    within blocks; without a metric that never was measured on both sides."""

    name: str
    value: float
    cell: Cell
    outcomes: dict[str, int]
    against: dict[str, Paired]


@dataclass(frozen=True)
class Series:
    """The doses of one load, the mildest first. what: its kind, and what it is aimed at; unit: of a dose; beside: the
    other factors; base: the undisturbed trials."""

    what: str
    unit: str
    beside: Factors
    base: Cell
    doses: list[Dose]

    def dose_text(self, value: float) -> str:
        """A dose as people write it."""
        if self.unit != "workers":
            return human(value, self.unit)
        return number_of("worker", value)


def dose_of(kind: str) -> tuple[str, str] | None:
    """The key that says how much of a kind of disturbance there is, and its unit; None of one that is or is not, and of
    one that only another version has."""
    return KINDS[kind].dose if kind in KINDS else None


def all_series(cells: Sequence[Cell], trials: Sequence[TrialResult]) -> list[Series]:
    """Every load of a run that has undisturbed trials beside it, in the plan's order."""
    bases = {cell.factors: cell for cell in cells if cell.factors.disturbance == NONE}
    tables = [
        table for trial in trials[:1] for table in trial.facts.plan.get("disturbance") or [] if dose_of(table["kind"])
    ]
    tables = [table for table in tables if any(cell.factors.disturbance == table["name"] for cell in cells)]
    names = _names(tables)
    found: dict[tuple[str, Factors], Series] = {}
    for table in tables:
        key, unit = dose_of(table["kind"]) or ("", "")
        for cell in cells:
            base = bases.get(replace(cell.factors, disturbance=NONE))
            if cell.factors.disturbance == table["name"] and base is not None:
                series = Series(names[table["name"]], unit, base.factors, base, [])
                found.setdefault((series.what, base.factors), series).doses.append(
                    _dose(table["name"], float(table[key]), cell, base, trials)
                )
    for series in found.values():
        series.doses.sort(key=lambda dose: dose.value, reverse=KINDS[series.what.split()[0]].less_is_worse)
    return list(found.values())


def _names(tables: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What each disturbance is a dose of: its kind and aim, and what else sets it apart from loads of the same aim."""
    aims = {row["name"]: " ".join(str(row[part]) for part in _AIM if row.get(part)) for row in tables}
    names = {}
    for table in tables:
        like = [other for other in tables if aims[other["name"]] == aims[table["name"]]]
        apart = [
            part for part in table if part not in ("name", *(dose_of(table["kind"]) or ())) and _differs(part, like)
        ]
        words = [f"{part} {_TEXTS.get(part, str)(table[part])}" for part in apart if table[part]]
        names[table["name"]] = aims[table["name"]] + (f" ({', '.join(words)})" if words else "")
    return names


def _differs(part: str, tables: Sequence[dict[str, Any]]) -> bool:
    return len({table.get(part) for table in tables}) > 1


def _dose(name: str, value: float, cell: Cell, base: Cell, trials: Sequence[TrialResult]) -> Dose:
    outcomes = Counter(trial.facts.status for trial in trials if trial.facts.factors == cell.factors)
    pairs = {
        key: paired_difference(_by_block(trials, cell.factors, key), _by_block(trials, base.factors, key))
        for key in EFFECTS
    }
    return Dose(name, value, cell, dict(outcomes), {key: pair for key, pair in pairs.items() if pair is not None})


def _by_block(trials: Iterable[TrialResult], factors: Factors, key: str) -> dict[int, Bounds]:
    counted = (trial for trial in trials if trial.facts.factors == factors and trial.facts.status == "ok")
    values = {trial.facts.block: bounds_of(trial.metrics.get(key)) for trial in counted}
    return {block: value for block, value in values.items() if value is not None}


def convergence(loads: Sequence[Series]) -> list[Finding]:
    """Between which doses each load ends convergence; one sentence for all loads under which nothing failed."""
    found, always = [], []
    for series in loads:
        if any(dose.outcomes.get("not-converged") for dose in series.doses):
            found.append(_end(series))
        elif all(set(dose.outcomes) == {"ok"} for dose in series.doses):
            always.append(f"{series.what} up to {series.dose_text(series.doses[-1].value)}")
    if always:
        found.append(
            Finding("dose", "pass", f"Every migration converged under {', '.join(always)}.", {"loads": always})
        )
    return found


def _end(series: Series) -> Finding:
    counts = [(dose.value, dose.outcomes.get("not-converged", 0), sum(dose.outcomes.values())) for dose in series.doses]
    first = next(place for place, (_, short, _) in enumerate(counts) if short)
    below = series.dose_text(counts[first - 1][0]) if first else "none at all"
    said = ", ".join(f"{short} of {total} at {series.dose_text(value)}" for value, short, total in counts[first:])
    text = (
        f"Convergence ends between {below} and {series.dose_text(counts[first][0])} of {series.what}: within the "
        f"plan's limit {said} did not come to an end."
    )
    return Finding("dose", "pass", text, {"load": series.what, "not_converged": counts})
