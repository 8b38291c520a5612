"""What a run shows, in sentences, each with what it rests on and how sure it is."""

import re
from collections.abc import Mapping, Sequence

from migrascope.analysis.carried import CARRIES, PER_DATA, Carried, carried
from migrascope.analysis.families import families
from migrascope.analysis.fleet import TOTAL
from migrascope.analysis.limit import limit_text, undecided_limits
from migrascope.analysis.neighbourhood import neighbourhood
from migrascope.analysis.paired_effects import disturbances, networks, scenarios, storages
from migrascope.analysis.regimes import regimes
from migrascope.analysis.results import Finding, TrialResult, Verdict
from migrascope.analysis.statistics import FEWEST
from migrascope.metrics.checks import Check
from migrascope.metrics.verdict.spans import ranges
from migrascope.model.schedule import COMMAND
from migrascope.model.storage import SHARED
from migrascope.model.units import human, rate_text
from migrascope.model.verdict import VERDICTS

TIME = "migration_time_s"
DOWNTIMES = {"vm_pause_s": "VM pause", "network_blackout_s": "network blackout"}
SAID_AT_MOST = 5
_SMALL = f"each has fewer than {FEWEST} trials, or one kind of guest."
_MOVES = {
    "moved": "the machine moved",
    "restarted": "it was started anew",
    "no sign": "no sign that it moved",
    "unknown": "not known whether it moved",
}

_FACTORS = {"µs": 1e-6, "ms": 1e-3, "%": 1e-2}
_NUMBER = re.compile(rf"([0-9]+(?:\.[0-9]+)?)(?: ({'|'.join(_FACTORS)}|s)(?![A-Za-z]))?")


def findings(results: Sequence[TrialResult], accelerator: str, accuracy: Finding) -> list[Finding]:
    """All sentences of a run, the conclusion first. accelerator: kvm, tcg or none; accuracy: what is known of the
    meter's error. Fleets have figures of their own (`analysis/fleet.py`): nothing is concluded on those of one
    migration, nor on data and limits of migrations of which only the command is known; nor on data where the guest is
    others', and nobody knows its memory."""
    good = [
        result
        for result in results
        if result.facts.status == "ok" and TOTAL not in result.metrics and result.facts.factors.policy != COMMAND
    ]
    found: list[Finding] = []
    ours = [result for result in good if result.facts.factors.memory_bytes]
    found += _data(_comparable(ours))
    found += [*regimes(ours), *_limit(good), *scenarios(good), *storages(good)]
    found += [*networks(good), *disturbances(good)]
    found += [*families(good), *neighbourhood(good), *_signs(results)]
    return [*found, _verdicts(results), *_checks(results), *_failed(results), accuracy,
            *_environment(accelerator), *_warnings(results)]  # fmt: skip


def _comparable(good: Sequence[TrialResult]) -> dict[str, list[TrialResult]]:
    """Trials in which nothing but what the guest carries differs: link, policy, probes, disturbance, storage alike."""
    groups: dict[str, list[TrialResult]] = {}
    for result in good:
        factors = result.facts.factors
        name = (
            f"{factors.policy} over {rate_text(factors.link_bps)}, probes {factors.probes}, "
            f"disturbance {factors.disturbance}{'' if factors.storage == SHARED else f', storage {factors.storage}'}"
        )
        groups.setdefault(name, []).append(result)
    return groups


def _says_nothing(group: Sequence[TrialResult]) -> bool:
    """Too few trials, or but one kind of guest, as in a run whose question is another."""
    return len(group) < FEWEST or len({result.facts.factors for result in group}) < 2


def _data(groups: Mapping[str, Sequence[TrialResult]]) -> list[Finding]:
    """Data against time and downtime in each group of trials. What several groups fail to say for the same reason is
    said once."""
    found, silent, several = list[Finding](), dict[str, list[list[Finding]]](), len(groups) > 1
    for name, group in groups.items():
        if several and _says_nothing(group):
            silent.setdefault(_SMALL, []).append([])
            continue
        where = f" ({name})" if several else ""
        said = [_data_time(group, where), *_data_downtime(group, where)]
        if several and all("reason" in each.evidence for each in said):
            silent.setdefault(f"{said[0].evidence['reason']}. {CARRIES}", []).append(said)
        else:
            found += said
    for why, of_groups in silent.items():
        alone = of_groups[0] if len(of_groups) == 1 else []
        found += alone or [_silent(why, len(of_groups), len(groups))]
    return found


def _silent(why: str, count: int, of: int) -> Finding:
    text = (
        f"Nothing can be concluded on data against time and downtime in {count} of {of} groups of trials in which "
        f"nothing else differs: {why}"
    )
    return Finding("data-time", "unknown", text, {"groups": count})


def _data_time(results: Sequence[TrialResult], where: str) -> Finding:
    found = carried(results, TIME)
    if found.seen is None:
        text = f"Nothing can be concluded on data against migration time{where}: {found.reason}. {CARRIES}"
        return Finding("data-time", "unknown", text, found.evidence())
    said = {
        1: "More data, more time",
        -1: "More data went with less time",
        0: "Data and migration time are not shown to go together",
    }
    return Finding("data-time", _VERDICTS[found.seen.sign()], _slope(said, found, where), found.evidence())


def _data_downtime(results: Sequence[TrialResult], where: str) -> list[Finding]:
    free = undecided_limits(results)
    aside = len(results) - len(free)
    left_out = f" {aside} trials under limits that decided in some, or may have, are left out." if aside else ""
    return [_downtime(free, key, name, where, left_out) for key, name in DOWNTIMES.items()]


def _downtime(free: Sequence[TrialResult], key: str, name: str, where: str, left_out: str) -> Finding:
    found = carried(free, key)
    evidence = {"metric": key, **found.evidence()}
    if found.seen is None:
        what = f"data against {name} where the limit did not decide"
        why = found.reason if free else "there is no such limit"
        text = f"Nothing can be concluded on {what}{where}: {why}.{left_out}"
        return Finding("data-downtime", "unknown", text, evidence)
    said = {
        1: f"More data, longer {name}",
        -1: f"More data went with a shorter {name}",
        0: f"Data and {name} are not shown to go together",
    }
    return Finding("data-downtime", _VERDICTS[found.seen.sign()], _slope(said, found, where) + left_out, evidence)


_VERDICTS: dict[int, Verdict] = {1: "pass", -1: "fail", 0: "unknown"}


def _slope(said: dict[int, str], found: Carried, where: str) -> str:
    assert found.seen is not None
    sign, each = found.seen.sign(), found.seen.slope * PER_DATA
    more = f"took {human(each, 's')} more" if each >= 0 else f"took {human(-each, 's')} less"
    return f"{said[sign]}{where}: each further 100 MB {more} ({found.basis()})."


def _trials(n: int) -> str:
    return "one trial" if n == 1 else f"{n} trials"


def _limit(good: Sequence[TrialResult]) -> list[Finding]:
    found = []
    for limit_s in sorted({result.facts.factors.downtime_limit_s for result in good}):
        under = [result for result in good if result.facts.factors.downtime_limit_s == limit_s]
        known = [result for result in under if result.limited is not None]
        bound = sum(result.limited is True for result in known)
        evidence = {"downtime_limit_s": limit_s, "limited": bound, "n": len(known), "of": len(under)}
        text = limit_text(limit_s) + _as_set(under, limit_s)
        unsure = f" Of {len(under) - len(known)} more it is not known." if known and len(known) < len(under) else ""
        if not known:
            reported = any(result.metrics["reported_downtime_s"].value is not None for result in under)
            why = "which limit held at the switchover" if reported else "what downtime the hypervisor reported"
            said = f"Whether the downtime limit of {text} decided is not known, for no trial says {why}."
            found.append(Finding("limit", "unknown", said, evidence))
        elif bound:
            said = (
                f"The downtime limit of {text} decided in {bound} of {_trials(len(known))}: there the downtime is the "
                "limit's doing, and says nothing of the data."
            )
            mixed = " Cells with some of these mix two regimes in their medians." if bound < len(known) else ""
            found.append(Finding("limit", "fail", said + mixed + unsure, evidence))
        else:
            where = "any trial" if not unsure else f"the {_trials(len(known))} of which it is known"
            said = f"The downtime limit of {text} did not decide in {where}: the reported downtime is below 0.7 of it."
            found.append(Finding("limit", "unknown" if unsure else "pass", said + unsure, evidence))
    return found


def _as_set(results: Sequence[TrialResult], planned_s: float) -> str:
    """The limits that were set, where they are not the plan's."""
    there = [result.metrics.get("set_downtime_limit_s") for result in results]
    values = {measured.value for measured in there if measured is not None and measured.value is not None}
    found = sorted(value for value in values if abs(value - planned_s) > 0.5e-3)
    if not found:
        return ""
    span = f"{1000 * found[0]:g}" if len(found) == 1 else f"{1000 * found[0]:g} to {1000 * found[-1]:g}"
    return f" (set at the switchover: {span} ms)"


def _signs(results: Sequence[TrialResult]) -> list[Finding]:
    """Whether a machine of others moved, or was started anew, as it showed from outside, and by what."""
    seen = [(result.facts.number, result.shown) for result in results if result.shown is not None]
    if not seen:
        return []
    verdicts: dict[str, list[int]] = {}
    because: dict[str, list[int]] = {}
    for number, shown in seen:
        verdicts.setdefault(_MOVES[shown.judgement.verdict], []).append(number)
        because.setdefault(shown.judgement.why, []).append(number)
    counted = ", ".join(f"{words} in {_trials(len(numbers))}" for words, numbers in verdicts.items())
    said = [f"trial {ranges(numbers)}: {why}" for why, numbers in because.items()]
    further = f"; and {len(said) - SAID_AT_MOST} more" if len(said) > SAID_AT_MOST else ""
    unknown = all(shown.judgement.verdict == "unknown" for _, shown in seen)
    text = f"From outside: {counted}. {'; '.join(said[:SAID_AT_MOST])}{further}."
    evidence = {str(number): shown.as_json() for number, shown in seen}
    return [Finding("signs", "unknown" if unknown else "pass", text, {"trials": evidence})]


def _verdicts(results: Sequence[TrialResult]) -> Finding:
    """The verdicts of all trials, and what the worst of them rest on."""
    counted: dict[str, int] = {value: sum(r.judgement.verdict == value for r in results) for value in VERDICTS}
    evidence = {verdict: count for verdict, count in counted.items() if count}
    bad = sorted(
        (r for r in results if r.judgement.verdict != "intact"), key=lambda r: -VERDICTS.index(r.judgement.verdict)
    )
    if not results:
        return Finding("verdict", "unknown", "No trial has a verdict.", evidence)
    if not bad:
        where = f"all {len(results)} trials" if len(results) > 1 else "the trial"
        return Finding("verdict", "pass", f"Intact in {where}: no witness saw a loss.", evidence)
    said = ", ".join(f"{verdict} in {_trials(count)}" for verdict, count in reversed(evidence.items()))
    because: dict[str, list[int]] = {}
    for result in bad:
        because.setdefault(result.judgement.text, []).append(result.facts.number)
    words = [f"trial {ranges(numbers)}: {text}" for text, numbers in because.items()]
    further = f"; and {len(words) - SAID_AT_MOST} more" if len(words) > SAID_AT_MOST else ""
    unknown = all(r.judgement.verdict == "unknown" for r in bad)
    text = f"{said[0].upper()}{said[1:]}. {'; '.join(words[:SAID_AT_MOST])}{further}."
    return Finding("verdict", "unknown" if unknown else "fail", text, evidence)


def _checks(results: Sequence[TrialResult]) -> list[Finding]:
    """Each check over all trials that have it: what holds in one sentence, what does not by trial."""
    said: dict[str, list[tuple[int, Check]]] = {}
    for result in results:
        for check in result.checks:
            said.setdefault(check.name, []).append((result.facts.number, check))
    return [_check(name, rows) for name, rows in said.items()]


def _check(name: str, rows: Sequence[tuple[int, Check]]) -> Finding:
    verdicts = [check.verdict for _, check in rows]
    worst: Verdict = "fail" if "fail" in verdicts else "unknown" if "unknown" in verdicts else "pass"
    texts: dict[str, list[int]] = {}
    for number, check in rows:
        if check.verdict == worst:
            texts.setdefault(check.text, []).append(number)
    first, numbers = next(iter(texts.items()))
    told = f"{name[0].upper()}{name[1:]}: {first}"
    if len(rows) > 1:
        told += f" (trial {ranges(numbers)}{', and likewise others' if len(texts) > 1 else ''})"
    return Finding("check", worst, f"{told}.", {"name": name, **{each: verdicts.count(each) for each in set(verdicts)}})


def _failed(results: Sequence[TrialResult]) -> list[Finding]:
    bad = [result for result in results if result.facts.status != "ok"]
    if not bad:
        return []
    reasons = "; ".join(
        f"trial {r.facts.number}: {(r.facts.reason or '').partition(chr(10))[0]}" for r in bad[:SAID_AT_MOST]
    )
    text = f"{len(bad)} of {_trials(len(results))} failed and are in no statistic: {reasons}."
    return [Finding("warning", "fail", text, {"failed": [r.facts.number for r in bad]})]


def _first_line(reason: str | None) -> str:
    return (reason or "no reason is known").splitlines()[0]


def _environment(accelerator: str) -> list[Finding]:
    text = {
        "tcg": "QEMU emulated the guest's processor (TCG): the figures show mechanisms, not the speed of hardware.",
        "none": "This is the fake lab: the figures are scripted, nothing was migrated.",
    }.get(accelerator)
    return [Finding("environment", "unknown", text, {"accelerator": accelerator})] if text else []


def _warnings(results: Sequence[TrialResult]) -> list[Finding]:
    """A sentence for each kind of warning, those of the most trials first: that of the trial where it is worst."""
    kinds: dict[str, list[tuple[int, str]]] = {}
    for result in results:
        for warning in result.warnings:
            kinds.setdefault(_NUMBER.sub("#", warning), []).append((result.facts.number, warning))
    found = []
    for said in sorted(kinds.values(), key=len, reverse=True)[:SAID_AT_MOST]:
        worst, words = max(said, key=lambda warning: _largest(warning[1]))
        trials = sorted({number for number, _ in said})
        where = f"in {len(trials)} of {len(results)} trials; at worst, in trial {worst}" if len(trials) > 1 else ""
        text = f"{words} ({where})." if where else f"Trial {worst}: {words}."
        found.append(Finding("warning", "unknown", text[0].upper() + text[1:], {"trials": trials, "worst": worst}))
    if (more := len(kinds) - SAID_AT_MOST) > 0:
        text = f"{more} more kinds of warnings are with their trials."
        found.append(Finding("warning", "unknown", text, {"more": more}))
    return found


def _largest(sentence: str) -> float:
    """The first number of a sentence, in base units; 0 without one."""
    match = _NUMBER.search(sentence)
    return float(match[1]) * _FACTORS.get(match[2] or "", 1.0) if match else 0.0
