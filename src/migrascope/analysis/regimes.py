"""Does more data mean more downtime, and under which downtime limit: what a run with several limits says."""

from collections.abc import Sequence

from migrascope.analysis.limit import STOP_AND_COPY_S, limit_text
from migrascope.analysis.statistics import FEWEST, correlation
from migrascope.analysis.summary import Finding, TrialResult, Verdict
from migrascope.model.units import human

DATA, PAUSE = "data_transferred_bytes", "vm_pause_s"
PER_DATA = 100e6


def regimes(good: Sequence[TrialResult]) -> list[Finding]:
    """A sentence for each downtime limit of a run that has more than one; nothing where policy, link or processors
    differ too, for then the data are not all that differs."""
    if len({(f.policy, f.link_bps, f.vcpus, f.write_Bps) for f in (result.facts.factors for result in good)}) > 1:
        return []
    limits = sorted({result.facts.factors.downtime_limit_s for result in good})
    if len(limits) < 2:
        return []
    return [_under(limit, [r for r in good if r.facts.factors.downtime_limit_s == limit]) for limit in limits]


def _under(limit_s: float, trials: Sequence[TrialResult]) -> Finding:
    bound = [result for result in trials if result.limited is True]
    free = [result for result in trials if result.limited is False]
    name = "Stop-and-copy" if limit_s >= STOP_AND_COPY_S else f"Under a limit of {limit_text(limit_s)}"
    decided = (
        f" The limit itself decided in {len(bound)} of {len(trials)} trials, left out here: the others are chosen by "
        "their outcome, which pulls the slope towards zero."
        if bound
        else ""
    )
    pairs = [
        (data, pause)
        for result in free
        for data, pause in [(result.metrics[DATA].value, result.metrics[PAUSE].value)]
        if data is not None and pause is not None
    ]
    seen = correlation([data for data, _ in pairs], [pause for _, pause in pairs])
    evidence = {"downtime_limit_s": limit_s, "limited": len(bound), "n": len(pairs)}
    if seen is None:
        why = (
            f"{len(pairs)} trials in which it did not decide, {FEWEST} are needed"
            if len(pairs) < FEWEST
            else "no spread"
        )
        return Finding("regime", "unknown", f"{name}: nothing can be concluded on data and VM pause ({why}).{decided}",
                       evidence)  # fmt: skip
    slope, low, high = (human(value * PER_DATA, "s") for value in (seen.slope, seen.slope_low, seen.slope_high))
    each = f"each further 100 MB changed the VM pause by {slope} (95 % interval {low} to {high}, {seen.n} trials)"
    said = {
        1: f"{name}: more data, more downtime; {each}.",
        -1: f"{name}: more data went with less downtime; {each}.",
        0: f"{name}: no effect of the data on the VM pause is shown; {each}.",
    }
    sign = 1 if seen.slope_low > 0 else -1 if seen.slope_high < 0 else 0
    verdicts: dict[int, Verdict] = {1: "pass", -1: "fail", 0: "unknown"}
    return Finding("regime", verdicts[sign], said[sign] + decided, {**evidence, **vars(seen)})
