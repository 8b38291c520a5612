"""What came of trials, as data: each one's numbers, cells with their statistics, findings in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from migrascope.metrics.checks import Check
from migrascope.metrics.signs import Shown
from migrascope.model.measured import Measured
from migrascope.model.schedule import Factors
from migrascope.model.units import at_least_text
from migrascope.model.verdict import Judgement
from migrascope.store.recording import TrialFacts

Verdict = Literal["pass", "fail", "unknown"]
CONCLUSIONS = (
    "data-time",
    "data-downtime",
    "regime",
    "limit",
    "scenario",
    "storage",
    "network",
    "dose",
    "family",
    "signs",
)
"""The topics of findings that answer a question; the others are checks of the run."""


@dataclass(frozen=True)
class TrialResult:
    """One trial and its numbers; metrics of a failed trial hold what was measured before it failed.

    limited: the downtime limit decided (reported downtime over 0.7 of it); None where that is unknown. judgement: what
    became of the guest. warnings: sentences on how far the trial can be trusted. checks: what had to hold for it
    to mean what it says. shown: of a machine of others, the signs that it moved; None for every other.
    """

    facts: TrialFacts
    metrics: dict[str, Measured]
    limited: bool | None
    judgement: Judgement
    warnings: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    shown: Shown | None = None


@dataclass(frozen=True)
class Statistic:
    """One metric over the trials of one cell. low, high: the exact order-statistic interval of the median with its
    true coverage; None below six trials. All None with a reason when no trial measured it. n counts the trials that
    measured it, censored those of them in which it was cut off; at_least names the numbers here that are lower bounds
    for that."""

    unit: str
    source: str
    median: float | None = None
    low: float | None = None
    high: float | None = None
    coverage: float | None = None
    min: float | None = None
    max: float | None = None
    n: int = 0
    reason: str | None = None
    censored: int = 0
    at_least: tuple[str, ...] = ()

    def text(self, name: str, words: Callable[[float], str]) -> str | None:
        """A number of it ("median", "low", "high", "min" or "max") as text, with ≥ where it is a lower bound; None
        without one."""
        value: float | None = getattr(self, name)
        if value is None:
            return None
        return at_least_text(words(value), at_least=name in self.at_least)


@dataclass(frozen=True)
class Cell:
    """The trials that share their factors. trials counts all, failed those that are not in the statistics; failures
    are their reasons. limited counts the trials in which the downtime limit decided, and limit_unknown those in which
    that is not known: both are in the statistics. verdicts counts the trials of each verdict.
    """

    factors: Factors
    trials: int
    failed: int
    limited: int
    limit_unknown: int = 0
    failures: list[str] = field(default_factory=list)
    metrics: dict[str, Statistic] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """A sentence about the run, with what it rests on. topic: "data-time", "data-downtime", "regime", "limit",
    "scenario", "storage", "network", "dose", "family", "signs", "verdict", "check", "accuracy", "environment",
    "warning"."""

    topic: str
    verdict: Verdict
    text: str
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The verdict of a check; "shown" or "open" for a conclusion, which can neither pass nor fail."""
        if self.topic not in CONCLUSIONS:
            return self.verdict
        return "open" if self.verdict == "unknown" else "shown"


def counted(trials: Sequence[TrialResult], factors: Factors) -> list[TrialResult]:
    """The trials of a cell that did not fail, in their order: those that its statistics are of."""
    return [trial for trial in trials if trial.facts.factors == factors and trial.facts.status == "ok"]
