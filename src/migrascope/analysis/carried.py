"""How the data that migrations carried came to differ: set by the plan as doses of resident memory, or an outcome of
the guest. Only the first carries a conclusion on what more data do."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from migrascope.analysis.limit import Decided, limit_text
from migrascope.analysis.results import TrialResult
from migrascope.analysis.slope import Slope, Unit, dosed, slope
from migrascope.model.schedule import Factors
from migrascope.model.units import human

DATA = "data_transferred_bytes"
PER_DATA = 100e6
SETTING = {"resident_bytes": "resident memory", "cache": "the page cache"}
"""Factors by which a plan sets the data that a migration carries."""
GUEST = ("scenario", "memory_bytes", "vcpus", "write_Bps", "write_set_bytes", "write_pattern")
"""Factors of the guest from which the data follow."""
CARRIES = (
    "Resident memory in doses carries one, all else equal: four doses in each of two scenarios, or five in one, as the "
    "plans thesis, website and limits have them."
)


class Carried(NamedTuple):
    """What a figure in seconds is shown to do with the data. seen: its slope, or None, and the reason. clusters: how
    many cells have both. trials, limits_s, decided: those that the slope is of, their downtime limits, and in how many
    of them these decided. censored: in how many trials it was cut off."""

    seen: Slope | None
    reason: str
    clusters: int
    trials: int
    limits_s: tuple[float, ...]
    decided: Decided
    censored: int = 0

    def evidence(self) -> dict[str, Any]:
        """For programs: the slope in seconds for each byte."""
        found = {**vars(self.seen)} if self.seen else {"reason": self.reason}
        cut_off = {"censored": self.censored} if self.censored else {}
        return {"n": self.trials, "clusters": self.clusters, **found, **cut_off, **vars(self.decided)}

    def basis(self) -> str:
        """For people: the interval, and what it rests on."""
        assert self.seen is not None
        seen, (low, high) = self.seen, (human(PER_DATA * end, "s") for end in (self.seen.low, self.seen.high))
        within = "" if seen.strata == 1 else f" within {seen.strata} otherwise equal settings"
        limits = " and ".join(limit_text(limit) for limit in self.limits_s)
        said = self.decided.words.removeprefix("the downtime limit ")
        return (
            f"95 % interval {low} to {high}, {seen.cells} cells of {self.trials} trials, resident memory set{within}; "
            f"downtime limit {limits}: {said or 'it decided in none'}"
        )


def carried(results: Sequence[TrialResult], key: str) -> Carried:
    """A figure against the data over the cells of trials that share all but what the guest holds."""
    cells: dict[Factors, list[tuple[float, float]]] = {}
    for result in results:
        data, figure = result.metrics[DATA].value, result.metrics[key].value
        if data is not None and figure is not None:
            cells.setdefault(result.facts.factors, []).append((data, figure))
    units = {
        factors: Unit(replace(factors, resident_bytes=0), factors.resident_bytes, *np.median(pairs, axis=0).tolist())
        for factors, pairs in cells.items()
    }
    there = set(dosed(list(units.values())))
    of = {factors for factors, unit in units.items() if unit in there} or set(cells)
    trials = sum(len(pairs) for factors, pairs in cells.items() if factors in of)
    limits_s = tuple(sorted({factors.downtime_limit_s for factors in of}))
    decided = Decided.among(result for result in results if result.facts.factors in of)
    cut_off = sum(result.metrics[DATA].at_least or result.metrics[key].at_least for result in results)
    seen = slope(list(units.values()))
    if cut_off:
        seen = f"in {cut_off} of {len(results)} trials it was cut off, and is at least what was seen"
    elif not there:
        seen = _why_not(list(cells))
    if isinstance(seen, Slope):
        return Carried(seen, "", len(cells), trials, limits_s, decided)
    return Carried(None, seen, len(cells), trials, limits_s, decided, cut_off)


def _why_not(cells: Sequence[Factors]) -> str:
    """Why cells without a dose carry no interval: trials of one are no witnesses of their own."""
    if not cells:
        return "no trial measured both"
    every = [vars(factors) for factors in cells]
    kinds = len({tuple(factors[key] for key in GUEST) for factors in every})
    together = len({tuple(factors[key] for key in (*SETTING, *GUEST)) for factors in every})
    if together == 1:
        return "nothing that the guest carries was varied"
    if together > kinds:
        through = SETTING["cache"]
        return f"the data were set through {through} alone, in {together} clusters, too few for an interval"
    return f"the data were not set but followed from {kinds} kinds of guest: {kinds} clusters, too few for an interval"
