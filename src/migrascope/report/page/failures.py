"""What each disturbance did at each phase: a matrix of verdicts, each linked to its trial in time."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from migrascope.analysis.doses import dose_of
from migrascope.analysis.results import TrialResult
from migrascope.analysis.summary import Summary
from migrascope.metrics.verdict.disturbed import MISSED
from migrascope.metrics.verdict.disturbed import WITNESS as DISTURBANCE
from migrascope.model.disturbance import NONE
from migrascope.model.kinds.kind import ACCEPTED, PHASES, STORAGE_COPY
from migrascope.model.units import human
from migrascope.model.verdict import Statement
from migrascope.store.recording import TrialFacts

NOTE = (
    "Columns are the moments at which it struck: all of the trial, the window before the migration, or a phase of it. "
    "Each cell holds the verdicts of its trials, with the longest silence of the website until it answered again, "
    "where the instance ran at the end, and, where there is an operator, what he had to do and whether the lab had to "
    "be rebuilt."
)
HEAD = (
    "What each disturbance did: verdicts, the website's longest silence, where the instance ran at the end, "
    "and what an operator had to do"
)
_ORDER = ("trial", "window", ACCEPTED, STORAGE_COPY, *PHASES[:2], "round", *PHASES[2:])


def matrix(summary: Summary, seen: Collection[int]) -> dict[str, Any] | None:
    """Phases, and a row for each disturbance with its trials by phase; None for an undisturbed run. seen: the numbers
    of trials that have a time axis."""
    cells: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for trial in summary.trials:
        if trial.facts.factors.disturbance == NONE:
            continue
        what, when = _what(trial)
        cells.setdefault(what, {}).setdefault(when, []).append(_shown(trial, seen))
    if not cells:
        return None
    phases = sorted({when for row in cells.values() for when in row}, key=_place)
    rows = [(what, [row.get(when, []) for when in phases]) for what, row in sorted(cells.items())]
    return {"phases": phases, "rows": rows, "note": NOTE}


def _what(trial: TrialResult) -> tuple[str, str]:
    """A disturbance without its moment, and its moment. Kinds that are only a dose keep their name. The network,
    the policy and where the volume is go before, where the plan has several."""
    what, when = _disturbed(trial)
    axes = trial.facts.plan["axes"]
    varied = [
        getattr(trial.facts.factors, name) for name in ("network", "policy", "storage") if len(axes.get(name, ())) > 1
    ]
    return ": ".join([*varied, what]), when


def _disturbed(trial: TrialResult) -> tuple[str, str]:
    name = trial.facts.factors.disturbance
    table = next(spec for spec in trial.facts.plan["disturbance"] if spec["name"] == name)
    if table["when"] in ("trial", "window"):
        return name, table["when"]
    key, unit = dose_of(table["kind"]) or ("", "")
    dose = human(table[key], unit) if table.get(key) else ""
    lasting = f"for {table['duration']:g} s" if table["duration"] else ""
    words = [table["kind"], table.get("service"), table["target"], dose, lasting]
    way = table.get("way") or "both"
    aside = [
        f"{table['host']} alone" if table.get("host") else "",
        "" if way == "both" else f"{way.replace('-', ' the ')} only",
        f"{table['offset']:g} s later" if table["offset"] else "",
        "switchover held" if table.get("hold") else "",
    ]
    beside = ", ".join(filter(None, aside))
    return " ".join(filter(None, [*words, f"({beside})" if beside else ""])), table["when"]


def _place(when: str) -> tuple[int, int]:
    phase, _, number = when.partition(":")
    return _ORDER.index(phase), int(number or 0)


def _shown(trial: TrialResult, seen: Collection[int]) -> dict[str, Any]:
    judged = trial.judgement
    silence = next((statement for statement in judged.statements if statement.witness == "website"), None)
    missed = any(statement.witness == DISTURBANCE and statement.verdict == "unknown" for statement in judged.statements)
    number, told = trial.facts.number, trial.facts.facts
    operator = (", ".join(told["rescue"]["operator"]) or "nothing") if "rescue" in told else None
    placed = trial.facts.proof.get("place")
    place = placed.evidence if placed is not None else "not known where it runs"
    return {
        "number": number,
        "linked": number in seen,
        "verdict": judged.verdict,
        "missed": f", {MISSED}" if missed else "",
        "silent": _silent([silence]),
        "silence": silence,
        "operator": operator,
        "steps": operator and _sides(operator, trial.facts),
        "rebuilt": told.get("healing", {}).get("lab") == "rebuilt",
        "place": place,
        "sides": _sides(place, trial.facts),
    }


def _sides(text: str, facts: TrialFacts) -> str:
    """The same words with the hosts by what they were to the migration, the source first, whichever host that was."""
    for host, side in ((facts.source, "source"), (facts.destination, "destination")):
        text = re.sub(rf"(?<![\w-]){re.escape(host)}(?![\w-])", side, text) if host else text
    return re.sub(r"(destination: [^,;]*), (source: [^,;]*)", r"\2, \1", text)


def _silent(silences: Sequence[Statement | None]) -> str | None:
    """How long the website was silent in these trials, at least and at most; None where it was not."""
    heard = [
        statement
        for statement in silences
        if statement is not None and statement.from_s is not None and statement.until_s is not None
    ]
    known = sorted(
        statement.until_s - statement.from_s
        for statement in heard
        if statement.from_s is not None and statement.until_s is not None
    )
    if not known:
        return None
    span = dict.fromkeys(f"{value:.2f}" for value in (known[0], known[-1]))
    return f"{' to '.join(span)} s{' to the end' if any('no answer' in statement.text for statement in heard) else ''}"


def lines(summary: Summary) -> list[str]:
    """The matrix in words, a block for each disturbance, trials alike in one line; empty for an undisturbed run."""
    found = matrix(summary, ())
    if found is None:
        return []
    said = [HEAD]
    for what, cells in found["rows"]:
        said.append(what)
        for phase, cell in zip(found["phases"], cells, strict=True):
            said += [f"  {phase}: {_words(alike)}" for alike in _alike(cell)]
    return said


def _alike(cell: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in cell:
        like = tuple(row[key] for key in ("verdict", "missed", "sides", "steps", "rebuilt"))
        groups.setdefault(like, []).append(row)
    return list(groups.values())


def _words(alike: list[dict[str, Any]]) -> str:
    row, count = alike[0], f" ×{len(alike)}" if len(alike) > 1 else ""
    silent = _silent([each["silence"] for each in alike])
    words = [f"{row['verdict']}{count}{row['missed']}{f', silent {silent}' if silent else ''}", row["sides"]]
    words += [f"operator: {row['steps']}"] if row["steps"] is not None else []
    return "; ".join([*words, "lab rebuilt"] if row["rebuilt"] else words)
