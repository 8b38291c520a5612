"""What a scenario, a disturbance, a copy of the volume or another network costs beside trials without one: paired
within blocks, in sentences."""

from collections.abc import Sequence
from dataclasses import replace
from math import isinf
from typing import Any

from migrascope.analysis.limit import Decided
from migrascope.analysis.results import Finding, TrialResult
from migrascope.analysis.statistics import FEWEST, Bounds, Paired, bounds_of, paired_difference
from migrascope.model.schedule import Factors
from migrascope.model.storage import SHARED
from migrascope.model.units import human

DATA = "data_transferred_bytes"
COMPARED = {
    DATA: "data",
    "migration_time_s": "migration time",
    "vm_pause_s": "VM pause",
    "network_blackout_s": "network blackout",
}
FELT = {
    "http_new_blackout_s": "HTTP blackout of new visitors",
    "http_kept_blackout_s": "HTTP blackout of kept connections",
}
SNIFFED = {
    "sniffer.delay_s.received.switchover": "sniffer delay",
    "sniffer.jitter_s.received.switchover": "sniffer jitter",
}
NOT_DELAY = (
    "Sniffer delay is how far apart packets come: more traffic makes it smaller, and no network's delay is in it."
)


def scenarios(good: Sequence[TrialResult]) -> list[Finding]:
    """Each scenario against `none`, the other factors equal, paired within blocks."""
    found = []
    sniffed = any(result.metrics[key].value is not None for result in good for key in SNIFFED if key in result.metrics)
    for name, ours, others in _beside(good, "scenario"):
        found.append(_against("scenario", name, ours, others, COMPARED))
        if sniffed:
            seen = _against("scenario", name, ours, others, SNIFFED)
            found.append(replace(seen, text=f"{seen.text} {NOT_DELAY}"))
    return _few_as_one("scenario", "comparisons of scenarios with none", found)


def disturbances(good: Sequence[TrialResult]) -> list[Finding]:
    """Each disturbance against the undisturbed trials; one sentence for all that have too few blocks."""
    return _levels(good, "dose", "disturbance", "none", "disturbances against none")


def storages(good: Sequence[TrialResult]) -> list[Finding]:
    """Volumes that were copied against those that both hosts reach, all else equal: what shared storage saves."""
    return _levels(good, "storage", "storage", SHARED, "comparisons of copied volumes with shared ones")


def networks(good: Sequence[TrialResult]) -> list[Finding]:
    """Each network of the plan against its first, all else equal."""
    levels = good[0].facts.plan.get("axes", {}).get("network", []) if good else []
    if not levels:
        return []
    return _levels(good, "network", "network", levels[0], f"comparisons of networks with {levels[0]}")


def _levels(good: Sequence[TrialResult], topic: str, factor: str, without: str, what: str) -> list[Finding]:
    """Each level of a factor against the one that stands for nothing of it. what: the comparisons, in words."""
    found = [
        _against(topic, name, ours, others, COMPARED | FELT, without)
        for name, ours, others in _beside(good, factor, without)
    ]
    return _few_as_one(topic, what, found)


def _few_as_one(topic: str, what: str, found: list[Finding]) -> list[Finding]:
    """The findings with one sentence for all that have too few blocks."""
    few = [finding for finding in found if finding.verdict == "unknown" and finding.text.startswith("Nothing")]
    if len(few) < 2:
        return found
    text = f"Nothing can be concluded on {len(few)} of {len(found)} {what}: fewer than {FEWEST} pairs within blocks."
    return [*(finding for finding in found if finding not in few), Finding(topic, "unknown", text, {"few": len(few)})]


def _beside(
    good: Sequence[TrialResult], factor: str, without: str = "none"
) -> list[tuple[str, dict[int, TrialResult], dict[int, TrialResult]]]:
    """By name, in the plan's order, the trials of each level of a factor and those of the level that stands for nothing
    of it, all by block; the rest is equal."""
    by_block: dict[Factors, dict[int, TrialResult]] = {}
    for result in good:
        by_block.setdefault(result.facts.factors, {})[result.facts.block] = result
    axes = good[0].facts.plan.get("axes", {}) if good else {}
    order = {level: place for place, level in enumerate(axes.get(factor, []))}
    beside = [factors for factors, trials in by_block.items() if len(trials) >= FEWEST] or list(by_block)
    found = []
    for factors, ours in sorted(by_block.items(), key=lambda group: order.get(getattr(group[0], factor), 0)):
        level = str(getattr(factors, factor))
        base = Factors(**{**vars(factors), factor: without})
        if level != without and base in by_block:
            name = factors.label(beside)
            found.append((name if level in name else level, ours, by_block[base]))
    return found


def _against(
    topic: str, name: str, ours: dict[int, TrialResult], others: dict[int, TrialResult], compared: dict[str, str],
    without: str = "none",
) -> Finding:  # fmt: skip
    seen = {key: paired_difference(_values(ours, key), _values(others, key)) for key in compared}
    there = {key: pair for key, pair in seen.items() if pair is not None}
    blocks = max((pair.n for pair in there.values()), default=0)
    evidence: dict[str, Any] = {
        key: {"median": p.median, "n": p.n, **(p.interval.as_json() if p.interval else {})} for key, p in there.items()
    }
    decided = Decided.among([*ours.values(), *others.values()])
    evidence |= vars(decided)
    if blocks < FEWEST:
        text = (
            f"Nothing can be concluded on {name} against {without}: {blocks} pairs within blocks, {FEWEST} are needed."
        )
        return Finding(topic, "unknown", text, evidence)
    sure = [_difference(compared[key], key, pair) for key, pair in there.items() if pair.sign()]
    unsure = [compared[key] for key, pair in there.items() if not pair.sign()]
    text = f"{name} against {without}, paired within {blocks} blocks: {', '.join(sure) or 'no difference is sure'}."
    text += f" Not shown to differ: {', '.join(unsure)}." if unsure and sure else ""
    text += f" Each of the {len(there)} intervals stands by itself." if sure else ""
    if decided.words:
        doing = ": there the downtime is the limit's doing" if decided.limit_decided else ""
        text += f" In these {decided.words}{doing}."
    return Finding(topic, "pass" if sure else "unknown", text, evidence)


def _difference(name: str, key: str, pair: Paired) -> str:
    unit = "B" if key == DATA else "s"
    assert pair.interval is not None
    low, high = sorted((abs(pair.interval.low), abs(pair.interval.high)))
    more = "more" if pair.sign() > 0 else "less"
    between = f"at least {human(low, unit)}" if isinf(high) else f"{human(low, unit)} to {human(high, unit)}"
    if pair.median is None:
        return f"{more} {name} ({between})"
    return f"{human(abs(pair.median), unit)} {more} {name} ({between})"


def _values(results: dict[int, TrialResult], key: str) -> dict[int, Bounds]:
    values = {block: bounds_of(result.metrics[key]) for block, result in results.items()}
    return {block: value for block, value in values.items() if value is not None}
