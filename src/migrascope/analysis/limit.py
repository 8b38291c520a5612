"""Whether the downtime limit decided a trial's downtime, rather than what had to be moved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from migrascope.analysis.results import Cell, TrialResult
from migrascope.model.measured import Measured

BINDS = 0.7
STOP_AND_COPY_S = 10.0
"""A limit from here on lets QEMU stop the guest at once: it is stop-and-copy in all but name."""


def limited(metrics: Mapping[str, Measured]) -> bool | None:
    """Whether the reported downtime exceeds 0.7 of the limit that was set, whatever the plan's; None where either is
    not known, or where the limit may have been raised since it was read and only that would clear it."""
    reported, limit = metrics["reported_downtime_s"].value, metrics.get("set_downtime_limit_s")
    if reported is None or limit is None or limit.value is None:
        return None
    decided = reported > BINDS * limit.value
    return None if decided and limit.at_least else decided


def undecided_limits(results: Sequence[TrialResult]) -> list[TrialResult]:
    """The trials under those limits of the plan that are known to have decided in none of theirs: the only ones in
    which downtime is held against data. Trials are not chosen by themselves, for under a limit that decides now and
    then those that it spared are chosen by their outcome, which pulls a slope towards zero."""
    limits = {result.facts.factors.downtime_limit_s for result in results if result.limited is not False}
    return [result for result in results if result.facts.factors.downtime_limit_s not in limits]


@dataclass(frozen=True)
class Decided:
    """In how many trials the downtime limit decided, and in how many that is not known."""

    limit_decided: int
    unknown: int
    of: int

    @classmethod
    def among(cls, results: Iterable[TrialResult]) -> "Decided":
        known = [result.limited for result in results]
        return cls(known.count(True), known.count(None), len(known))

    @classmethod
    def in_cell(cls, cell: Cell) -> "Decided":
        """Of the trials that a cell's statistics are of."""
        return cls(cell.limited, cell.limit_unknown, cell.trials - cell.failed)

    @property
    def words(self) -> str:
        """For people; empty where it is known to have decided in none."""
        if not self.limit_decided and not self.unknown:
            return ""
        if self.unknown == self.of:
            return f"whether the downtime limit decided is known of none of {self.of} trials"
        unknown = f", not known in {self.unknown}" if self.unknown else ""
        return f"the downtime limit decided in {self.limit_decided} of {self.of} trials{unknown}"

    @property
    def short(self) -> str:
        """For tables that have the number of trials; empty where it is known to have decided in none."""
        if not self.limit_decided and not self.unknown:
            return ""
        unknown = f", {self.unknown} not known" if self.unknown else ""
        return f"{self.limit_decided} limited{unknown}"


def limit_text(limit_s: float) -> str:
    """The limit for people, labelled where it means stop-and-copy."""
    text = f"{limit_s * 1000:g} ms" if limit_s < 1 else f"{limit_s:g} s"
    return f"{text} (stop-and-copy)" if limit_s >= STOP_AND_COPY_S else text
