"""IPv6 against IPv4, paired within trials: by how much longer the instance is gone over it, in sentences."""

from collections.abc import Sequence
from math import isinf

from migrascope.analysis.results import Finding, TrialResult
from migrascope.analysis.statistics import FEWEST, Bounds, Paired, bounds_of, paired_difference
from migrascope.metrics.family import COMPARED
from migrascope.model.family import key_of
from migrascope.model.schedule import Factors
from migrascope.model.units import human

_NAMES = dict(zip(COMPARED, ("network blackout", "HTTP blackout of new visitors", "HTTP blackout of kept connections"),
                  strict=True))  # fmt: skip


def families(good: Sequence[TrialResult]) -> list[Finding]:
    """A finding for each cell whose trials were measured over both; one for all that have too few."""
    cells: dict[Factors, dict[int, TrialResult]] = {}
    for result in good:
        cells.setdefault(result.facts.factors, {})[result.facts.number] = result
    seen = {factors: _paired(trials) for factors, trials in cells.items()}
    there = {factors: pairs for factors, pairs in seen.items() if pairs}
    enough = [factors for factors, pairs in there.items() if max(pair.n for pair in pairs.values()) >= FEWEST]
    found = [_finding(factors.label(list(there)), there[factors], len(there) > 1) for factors in enough]
    if few := len(there) - len(enough):
        where = f" in {few} of {len(there)} cells" if len(there) > 1 else ""
        text = f"Nothing can be concluded on IPv6 against IPv4{where}: fewer than {FEWEST} trials with both."
        found.append(Finding("family", "unknown", text, {"few": few}))
    return found


def _paired(trials: dict[int, TrialResult]) -> dict[str, Paired]:
    """By figure, the differences within the trials that have it over both."""
    pairs = {key: paired_difference(_values(trials, key_of(key)), _values(trials, key)) for key in COMPARED}
    return {key: pair for key, pair in pairs.items() if pair is not None}


def _values(trials: dict[int, TrialResult], key: str) -> dict[int, Bounds]:
    values = {number: bounds_of(result.metrics.get(key)) for number, result in trials.items()}
    return {number: value for number, value in values.items() if value is not None}


def _finding(cell: str, pairs: dict[str, Paired], several: bool) -> Finding:
    sure = [_difference(key, pair) for key, pair in pairs.items() if pair.sign()]
    unsure = [_NAMES[key] for key, pair in pairs.items() if not pair.sign()]
    trials = max(pair.n for pair in pairs.values())
    where = f" ({cell})" if several else ""
    text = f"IPv6 against IPv4{where}, paired within {trials} trials: {', '.join(sure) or 'no difference is sure'}."
    text += f" Not shown to differ: {', '.join(unsure)}." if unsure and sure else ""
    evidence = {
        key: {"median": pair.median, "n": pair.n, **(pair.interval.as_json() if pair.interval else {})}
        for key, pair in pairs.items()
    }
    return Finding("family", "pass" if sure else "unknown", text, evidence)


def _difference(key: str, pair: Paired) -> str:
    assert pair.interval is not None
    low, high = sorted((abs(pair.interval.low), abs(pair.interval.high)))
    between = f"at least {human(low, 's')}" if isinf(high) else f"{human(low, 's')} to {human(high, 's')}"
    way = "longer" if pair.sign() > 0 else "shorter"
    by = "" if pair.median is None else f" by {human(abs(pair.median), 's')}"
    return f"{_NAMES[key]} {way}{by} ({between})"
