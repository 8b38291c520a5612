"""Whether advice was right: the advised policy against the defaults, in blocks, as they were measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isinf
from typing import Any, Literal

from migrascope.analysis.results import TrialResult
from migrascope.analysis.statistics import FEWEST, Bounds, Paired, bounds_of, median_interval, median_of
from migrascope.model.axes import Axes
from migrascope.model.managers import FixedLimit, NovaSteps
from migrascope.model.plan import Plan
from migrascope.model.policy import Policy
from migrascope.model.problem import UsageProblem
from migrascope.model.schedule import LABS_OWN, Factors
from migrascope.model.units import duration_text, human
from migrascope.predict.advice import Mind, Option, Wish

SCHEMA = 1
ADVISED = "advised-here"
DEFAULTS = {"qemu-default": Policy(fixed=FixedLimit()), "nova-default": Policy(nova=NovaSteps())}
"""QEMU's own limit, and Nova's steps."""
NOVA_DOWNTIME_S = 0.5
"""live_migration_downtime, by default."""
BLOCKS = 6
FIGURES: dict[Mind, tuple[str, str]] = {
    "time": ("migration_time_s", "migration time"),
    "blackout": ("network_outage_total_s", "network outage in total"),
    "data": ("data_transferred_bytes", "data"),
}
"""What is measured of what is minded. The outage in total holds what a guest in post-copy waits, too."""


@dataclass(frozen=True)
class Against:
    """The advised policy against a default. difference: ours less theirs within blocks, None without a block that both
    have. ended: how many of ours, and of theirs, came to their end, of how many."""

    default: str
    difference: Paired | None
    ended: tuple[int, int, int]

    @property
    def verdict(self) -> Literal["better", "worse", "open"]:
        sign = self.difference.sign() if self.difference is not None else 0
        return "better" if sign < 0 else "worse" if sign > 0 else "open"

    def as_json(self) -> dict[str, Any]:
        """For programs, in base units; what has no bound is null."""
        found = self.difference
        median = None if found is None or found.median is None or isinf(found.median) else found.median
        interval = found.interval.as_json() if found is not None and found.interval is not None else None
        ours, theirs, of = self.ended
        return {
            "default": self.default, "verdict": self.verdict, "difference": median, "interval": interval,
            "ended": ours, "default_ended": theirs, "blocks": of,
        }  # fmt: skip


def verifying(plan: Plan, factors: Factors, option: Option, wish: Wish) -> Plan:
    """A plan that tries an option and the defaults on the guest of a cell. UsageProblem where the plan's lab cannot, or
    what is minded is not measured."""
    if not plan.embedded and plan.lab.kind != "fake":
        whose = "hosts of others set" if plan.libvirt.hosts else f"the lab {plan.lab.kind} sets"
        raise UsageProblem(f"--verify: {whose} no limits of single migrations; use --lab qemu")
    if wish.mind not in FIGURES:
        raise UsageProblem(f"--verify: {wish.mind} is no figure that is measured; mind one of {', '.join(FIGURES)}")
    value = plan.model_dump(mode="json", exclude_none=True, exclude={"also", "cells", "axes", "thresholds"})
    told = {name: text for name, text in factors.words().items() if text != LABS_OWN}
    words = {name: [text] for name, text in told.items() if name in Axes.model_fields}
    if not factors.write_Bps:
        words = {name: text for name, text in words.items() if name not in ("write_rate", "working_set", "pattern")}
    words |= {"policy": [ADVISED, *DEFAULTS], "downtime_limit": [duration_text(NOVA_DOWNTIME_S)]}
    limit = FixedLimit.model_validate({"downtime": duration_text(option.limit_s)})
    own = option.policy.model_copy(update={"fixed": limit})
    tried = {ADVISED: own, **DEFAULTS}
    if wish.must_end_within_s is not None:
        value["windows"]["limit"] = duration_text(wish.must_end_within_s)
    value |= {
        "name": "advice", "blocks": BLOCKS, "axes": words,
        "policies": {name: policy.model_dump(mode="json", exclude_none=True) for name, policy in tried.items()},
    }  # fmt: skip
    value["probes"]["dirty"] = True
    return Plan.model_validate(value)


def compared(trials: Sequence[TrialResult], mind: Mind) -> list[Against]:
    """Each default, with what was measured of what is minded."""
    by_policy = {name: _by_block(trials, name) for name in (ADVISED, *DEFAULTS)}
    ours = by_policy[ADVISED]
    found = []
    for name in DEFAULTS:
        theirs = by_policy[name]
        both = sorted(ours.keys() & theirs.keys())
        differences = [
            difference
            for block in both
            if (difference := _difference(ours[block], theirs[block], FIGURES[mind][0])) is not None
        ]
        paired = Paired(median_of(differences), median_interval(differences), len(differences)) if differences else None
        ended = [sum(side[block].facts.status == "ok" for block in both) for side in (ours, theirs)]
        found.append(Against(name, paired, (ended[0], ended[1], len(both))))
    return found


def _by_block(trials: Sequence[TrialResult], policy: str) -> dict[int, TrialResult]:
    """Those of which it is known how they ended."""
    return {
        trial.facts.block: trial
        for trial in trials
        if trial.facts.factors.policy == policy and trial.facts.status in ("ok", "not-converged")
    }


def _difference(ours: TrialResult, theirs: TrialResult, key: str) -> Bounds | None:
    """Ours less theirs; a migration that did not end costs more than any that did. None where it was not measured."""
    ended = [trial.facts.status == "ok" for trial in (ours, theirs)]
    if not all(ended):
        return Bounds(-inf, -inf) if ended[0] else Bounds(inf, inf) if ended[1] else Bounds(-inf, inf)
    mine, other = (bounds_of(trial.metrics.get(key)) for trial in (ours, theirs))
    return Bounds(mine.low - other.high, mine.high - other.low) if mine is not None and other is not None else None


def right(found: Sequence[Against]) -> bool | None:
    """Whether it is shown that no default is better and one is worse: the advice was right. False where a default is
    shown to be better; None where neither is shown."""
    verdicts = {each.verdict for each in found}
    return False if "worse" in verdicts else True if "better" in verdicts else None


def lines(found: Sequence[Against], mind: Mind) -> list[str]:
    """What `advise --verify` prints."""
    key, name = FIGURES[mind]
    unit = "B" if key.endswith("bytes") else "s"
    said = [_line(each, name, unit) for each in found]
    words = {True: "the advice was right", False: "the advice was wrong", None: "whether the advice was right is open"}
    return [*said, words[right(found)]]


def _line(each: Against, name: str, unit: str) -> str:
    ours, theirs, of = each.ended
    ended = f"ended: {ours} of {of}, {each.default} {theirs} of {of}"
    found = each.difference
    if found is None:
        return f"against {each.default}: {name} was measured in no block of both; {ended}"
    if found.interval is None:
        return f"against {each.default}: {found.n} blocks, and {FEWEST} are needed; {ended}"
    low, high = (_signed(value, unit) for value in (found.interval.low, found.interval.high))
    return f"against {each.default}: {each.verdict}, {name} {low} to {high} ({found.n} blocks); {ended}"


def _signed(value: float, unit: str) -> str:
    if isinf(value):
        return "any less" if value < 0 else "any more"
    return f"{human(abs(value), unit)} {'less' if value < 0 else 'more'}"


def as_json(run: str, found: Sequence[Against]) -> dict[str, Any]:
    """The public JSON of `advise --verify`."""
    return {"schema": SCHEMA, "run": run, "right": right(found), "against": [each.as_json() for each in found]}
