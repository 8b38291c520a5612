"""Does more data mean more downtime, and under which downtime limit: what a run with several limits says."""

from collections.abc import Sequence

from migrascope.analysis.carried import PER_DATA, carried
from migrascope.analysis.limit import STOP_AND_COPY_S, Decided, limit_text
from migrascope.analysis.results import Finding, TrialResult, Verdict
from migrascope.model.units import human

PAUSE = "vm_pause_s"


def regimes(good: Sequence[TrialResult]) -> list[Finding]:
    """A sentence for each downtime limit of a run that has more than one; nothing where policy, link, processors or
    storage differ too, for then the data are not all that differs."""
    beside = {(f.policy, f.link_bps, f.vcpus, f.write_Bps, f.storage) for f in (one.facts.factors for one in good)}
    if len(beside) > 1:
        return []
    limits = sorted({result.facts.factors.downtime_limit_s for result in good})
    if len(limits) < 2:
        return []
    return [_under(limit, [r for r in good if r.facts.factors.downtime_limit_s == limit]) for limit in limits]


def _under(limit_s: float, trials: Sequence[TrialResult]) -> Finding:
    """All trials under a limit, and not those alone that it spared: chosen by their outcome, they would pull the slope
    towards zero."""
    name = "Stop-and-copy" if limit_s >= STOP_AND_COPY_S else f"Under a limit of {limit_text(limit_s)}"
    decided = Decided.among(trials)
    aside = " Where the limit decided, the downtime is its doing." if decided.limit_decided else ""
    found = carried(trials, PAUSE)
    evidence = {"downtime_limit_s": limit_s, "limited": decided.limit_decided, **found.evidence()}
    if found.seen is None:
        text = f"{name}: nothing can be concluded on data and VM pause: {found.reason}."
        return Finding("regime", "unknown", text + aside, evidence)
    changed = human(found.seen.slope * PER_DATA, "s")
    each = f"each further 100 MB changed the VM pause by {changed} ({found.basis()})"
    said = {
        1: f"{name}: more data, more downtime; {each}.",
        -1: f"{name}: more data went with less downtime; {each}.",
        0: f"{name}: no effect of the data on the VM pause is shown; {each}.",
    }
    verdicts: dict[int, Verdict] = {1: "pass", -1: "fail", 0: "unknown"}
    sign = found.seen.sign()
    return Finding("regime", verdicts[sign], said[sign] + aside, evidence)
