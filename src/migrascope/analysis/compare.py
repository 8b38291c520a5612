"""Runs beside one another: what differs between their environments, and what differs between their figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from migrascope.analysis.limit import Decided
from migrascope.analysis.results import Cell
from migrascope.analysis.statistics import (
    FEWEST,
    Bounds,
    Interval,
    adjusted,
    bounds_of,
    median_difference,
    rank_sum_p,
)
from migrascope.analysis.summary import Summary
from migrascope.model.family import FIRST, Family
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors

LAYERS = {
    "hypervisor": (
        "migration_time_s", "vm_pause_s", "reported_downtime_s", "data_transferred_bytes",
        "hypervisor_cpu_s.source", "hypervisor_cpu_s.destination",
    ),
    "network": (
        "network_blackout_s", "network_outage_total_s", "probe.rtt_s.switchover.p95",
        "probe.rtt_variation_s.switchover.p95", "probe.loss_ratio.switchover",
    ),
    "visitors": ("http_new_blackout_s", "http_kept_blackout_s", "visitor.goodput_bps.switchover",
                 "visitor.lost_s.during", "player_stall_s"),
}  # fmt: skip
"""The figures that are compared, by the layer that they were seen on: the same ones on every lab."""
FALSE_SHARE = 0.05
"""Of the differences that are seen between two runs, so many may be false in the mean; between two runs of the same,
one is seen in so many cases at most."""
METHOD = "Mann-Whitney U, Benjamini-Hochberg over all figures of all cells of the two runs"
MACHINE = ("cpu", "cores", "memory_bytes")
_SETTINGS = (
    ("visitors", "live_buffer"), ("visitors", "file_buffer"), ("visitors", "browser"),
    ("visitors", "kept_connections"), ("windows", "before"), ("windows", "limit"), ("probes", "echo_kind"),
    ("probes", "stamp_rate"), ("verdict", "ledger"), ("verdict", "outage"), ("capture", "enabled"), ("fleet", "how"),
    ("fleet", "parallel"), ("fleet", "max_concurrent"),
)  # fmt: skip


class NotComparable(Problem):
    """Runs of environments that differ in what the figures depend on; the message holds the differing facts."""

    code = 3


@dataclass(frozen=True)
class Difference:
    """One figure of one cell in two runs: medians, theirs less ours with its interval (None below six trials), and the
    rank test's p, alone and among all comparisons of the two runs. effect is None where it falls on a value that was
    cut off. n: trials of the side that has fewer. reason: why there is no difference to tell. ours_at_least,
    theirs_at_least: a median is a lower bound."""

    cell: Factors
    layer: str
    key: str
    unit: str
    ours: float | None
    theirs: float | None
    effect: float | None = None
    interval: Interval | None = None
    n: int = 0
    p: float | None = None
    p_of_family: float | None = None
    reason: str | None = None
    ours_at_least: bool = False
    theirs_at_least: bool = False

    @property
    def apart(self) -> int:
        """1 or -1 where the interval, taken by itself, has theirs more or less than ours, else 0."""
        if self.interval is None:
            return 0
        return 1 if self.interval.low > 0 else -1 if self.interval.high < 0 else 0

    @property
    def seen(self) -> int:
        """1 or -1 where theirs are more or less than ours and that is not the chance of many comparisons, else 0."""
        return self.apart if self.p_of_family is not None and self.p_of_family <= FALSE_SHARE else 0


@dataclass(frozen=True)
class Comparison:
    """A run (theirs) against the first one (ours). facts: what differs of environment and fixed factors, as {fact:
    (ours, theirs)}; forced: those of them for which they are not comparable; limits: in how many of the trials that are
    compared the downtime limit decided, of ours and of theirs, by cell."""

    ours: str
    theirs: str
    facts: dict[str, tuple[Any, Any]]
    forced: list[str]
    differences: list[Difference]
    limits: dict[Factors, tuple[Decided, Decided]]

    @property
    def comparisons(self) -> int:
        """How many figures were held against one another: the family in which each is judged."""
        return sum(difference.p is not None for difference in self.differences)


def compare(ours: Summary, theirs: Summary, *, force: bool = False) -> Comparison:
    """Theirs against ours. NotComparable with the differing facts, unless forced; or where no cell has a counterpart.

    A factor that has one value in each run, and another in each, is what is compared; all others must match.
    """
    facts, barred = _facts(ours, theirs)
    if barred and not force:
        words = "\n  ".join(f"{name}: {facts[name][0]} and {facts[name][1]}" for name in barred)
        raise NotComparable(
            f"{ours.run} and {theirs.run} are not comparable:\n  {words}\n"
            "--force compares them anyway; run --load-from makes a run with another's load"
        )
    fixed = _fixed(ours, theirs)
    pairs = _pairs(ours, theirs, set(fixed))
    if not pairs:
        raise NotComparable(f"{ours.run} and {theirs.run} share no cell: every one has another {_unlike(ours, theirs)}")
    differences = [
        _difference(ours, theirs, mine, other, layer, key)
        for mine, other in pairs
        for layer, keys in LAYERS.items()
        for key in keys
        if key in mine.metrics and key in other.metrics
    ]
    limits = {
        mine.factors: (Decided.among(ours.counted(mine.factors)), Decided.among(theirs.counted(other.factors)))
        for mine, other in pairs
    }
    return Comparison(ours.run, theirs.run, facts | fixed, barred, _in_family(differences), limits)


def _in_family(differences: Sequence[Difference]) -> list[Difference]:
    """The differences with the p that each has among all."""
    told = [difference.p for difference in differences if difference.p is not None]
    among = iter(adjusted(told))
    return [
        difference if difference.p is None else replace(difference, p_of_family=next(among))
        for difference in differences
    ]


def _facts(ours: Summary, theirs: Summary) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    """What differs, and by which of it they are not comparable: the machine and the accelerator always, and within one
    lab QEMU and the guest's image, too."""
    sides = [{"lab": s.lab, "accelerator": s.accelerator, "qemu": s.qemu, "guest": s.environment.get("guest")} | {
        key: s.environment.get("environment", {}).get(key)
        for key in (*MACHINE, "kernel", "congestion_control", "migrascope")
    } for s in (ours, theirs)]  # fmt: skip
    loads = [_load(s) for s in (ours, theirs)]
    differing = {key: (sides[0][key], sides[1][key]) for key in sides[0] if sides[0][key] != sides[1][key]}
    for key in loads[0]:
        if loads[0][key] != loads[1][key]:
            differing[key] = (loads[0][key], loads[1][key])
    meant = _meanings(ours, theirs)
    needed = {*MACHINE, "accelerator", *_apart(*loads), *meant}
    needed |= {"qemu", "guest"} if "lab" not in differing else set()
    return differing | meant | _settings(ours, theirs), [key for key in differing | meant if key in needed]


def _meanings(ours: Summary, theirs: Summary) -> dict[str, tuple[Any, Any]]:
    """Names of policies and disturbances that are in both runs and stand for different things, with these."""
    found = {}
    for what, axis, tables in (("policy", "policy", _policies), ("disturbance", "disturbance", _disturbances)):
        mine, other = tables(ours.plan), tables(theirs.plan)
        for name in [name for name in ours.plan["axes"][axis] if name in theirs.plan["axes"][axis]]:
            if mine.get(name) != other.get(name):
                found[f"{what} {name}"] = (_says(mine.get(name)), _says(other.get(name)))
    return found


def _policies(plan: dict[str, Any]) -> dict[str, Any]:
    return dict(plan.get("policies", {}))


def _disturbances(plan: dict[str, Any]) -> dict[str, Any]:
    return {table["name"]: table for table in plan.get("disturbance", [])}


def _says(table: dict[str, Any] | None) -> str:
    """What a table says, for people; a name without one is built in."""
    if table is None:
        return "the built-in one"
    return ", ".join(f"{key} {value}" for key, value in table.items() if value not in (None, False) and key != "name")


def _settings(ours: Summary, theirs: Summary) -> dict[str, tuple[Any, Any]]:
    """Settings of observation and of the website's visitors that differ: figures rest on them, and say so."""
    found = {}
    for table, key in _SETTINGS:
        mine, other = (summary.plan.get(table, {}).get(key) for summary in (ours, theirs))
        if (mine or None) != (other or None):  # an older version had not what is off here
            found[f"{table}.{key}"] = (mine, other)
    mine, other = (", ".join(_families(summary)) for summary in (ours, theirs))
    return found if mine == other else {**found, "families": (mine, other)}


def _families(summary: Summary) -> list[Family]:
    return list(summary.plan.get("families", [FIRST]))


_LIKE = 1.1
"""The factor up to which two rates of visits are alike: found rates differ a little from run to run."""


def _load(summary: Summary) -> dict[str, Any]:
    """What visits and probes the guest, over all families together."""
    visitors, probes, each = summary.plan["visitors"], summary.plan["probes"], len(_families(summary))
    rates = {f"visits/s, {kind}": each * visitors[f"{kind}_rate"] for kind in ("new", "kept")}
    return {**rates, "viewers": visitors["viewers"], "probes/s": each * probes["echo_rate"]}


def _apart(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """The parts of two loads that are too unlike to compare what visitors saw."""
    return [key for key in ours if max(ours[key], theirs[key]) > _LIKE * min(ours[key], theirs[key])]


def _levels(summary: Summary, name: str) -> set[Any]:
    return {getattr(cell.factors, name) for cell in summary.cells}


def _fixed(ours: Summary, theirs: Summary) -> dict[str, tuple[Any, Any]]:
    found = {}
    for name in vars(ours.cells[0].factors) if ours.cells else ():
        mine, other = _levels(ours, name), _levels(theirs, name)
        if len(mine) == len(other) == 1 and mine != other:
            found[name] = (*mine, *other)
    return found


def _pairs(ours: Summary, theirs: Summary, ignored: set[str]) -> list[tuple[Cell, Cell]]:
    def key(cell: Cell) -> tuple[Any, ...]:
        return tuple(value for name, value in vars(cell.factors).items() if name not in ignored)

    others = {key(cell): cell for cell in theirs.cells}
    return [(cell, others[key(cell)]) for cell in ours.cells if key(cell) in others]


def _unlike(ours: Summary, theirs: Summary) -> str:
    names = vars(ours.cells[0].factors) if ours.cells else ()
    return " or ".join(name for name in names if not _levels(ours, name) & _levels(theirs, name)) or "combination"


def _values(summary: Summary, cell: Cell, key: str) -> list[Bounds]:
    known = (bounds_of(trial.metrics.get(key)) for trial in summary.counted(cell.factors))
    return [value for value in known if value is not None]


def _difference(ours: Summary, theirs: Summary, mine: Cell, other: Cell, layer: str, key: str) -> Difference:
    left, right = _values(ours, mine, key), _values(theirs, other, key)
    sides = mine.metrics[key], other.metrics[key]
    known = Difference(
        mine.factors, layer, key, sides[0].unit or sides[1].unit, sides[0].median, sides[1].median,
        ours_at_least="median" in sides[0].at_least, theirs_at_least="median" in sides[1].at_least,
    )  # fmt: skip
    if not left or not right:
        return replace(known, reason=sides[bool(left)].reason or "not measured")
    effect, interval = median_difference(right, left)
    n = min(len(left), len(right))
    if interval is None:
        return replace(known, effect=effect, n=n, reason=f"{n} trials, {FEWEST} are needed")
    found = replace(known, effect=effect, interval=interval, n=n, p=rank_sum_p(right, left))
    if effect is None and not found.apart:
        return replace(found, reason="not even the sign is known: values were cut off")
    return found


def as_json(found: Sequence[Comparison]) -> dict[str, Any]:
    """The public form, in base units."""
    return {
        "schema": 1,
        "comparisons": [
            {
                "ours": comparison.ours,
                "theirs": comparison.theirs,
                "facts": comparison.facts,
                "forced": comparison.forced,
                "family": {"comparisons": comparison.comparisons, "method": METHOD, "false_share": FALSE_SHARE},
                "limit_decided": [
                    {"cell": vars(cell), "ours": vars(ours), "theirs": vars(theirs)}
                    for cell, (ours, theirs) in comparison.limits.items()
                ],
                "differences": [
                    {**vars(d), "cell": vars(d.cell), "interval": d.interval and d.interval.as_json(), "seen": d.seen}
                    for d in comparison.differences
                ],
            }
            for comparison in found
        ],
    }
