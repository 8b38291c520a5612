"""What each disturbance did at each phase: a matrix of verdicts, each linked to its trial in time."""

from collections.abc import Collection
from typing import Any

from migrascope.analysis.summary import Summary, TrialResult
from migrascope.model.disturbance import ACCEPTED, NONE, PHASES
from migrascope.model.units import human
from migrascope.model.verdict import Statement

NOTE = (
    "Each cell holds the verdicts of its trials, with the longest silence of the website until it answered again, "
    "where the instance ran at the end, and, where there is an operator, what he had to do and whether the lab had to "
    "be rebuilt."
)
_ORDER = ("trial", "window", ACCEPTED, *PHASES[:2], "round", *PHASES[2:])


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
    """A disturbance without its moment, and its moment. Kinds that are only a dose keep their name. The policy goes
    before, where the plan has several."""
    what, when = _disturbed(trial)
    several = len(trial.facts.plan["axes"]["policy"]) > 1
    return f"{trial.facts.factors.policy}: {what}" if several else what, when


def _disturbed(trial: TrialResult) -> tuple[str, str]:
    name = trial.facts.factors.disturbance
    table = next(one for one in trial.facts.plan["disturbance"] if one["name"] == name)
    if table["when"] in ("trial", "window"):
        return name, table["when"]
    rate = human(table["rate"], "bit/s") if table["rate"] else ""
    workers = f"{table['workers']} workers" if table["workers"] else ""
    share = human(table["loss"], "ratio") if table.get("loss") else ""
    named = [table[key] or "" for key in ("kind", "service", "target", "host", "way") if key in table]
    held = "held" if table.get("hold") else ""
    words = [
        *named,
        held,
        rate,
        share,
        _seconds(table.get("delay"), "by "),
        workers,
        _seconds(table["offset"], "after "),
    ]
    return " ".join(word for word in [*words, _seconds(table["duration"], "for ")] if word), table["when"]


def _seconds(value: float | None, word: str) -> str:
    return f"{word}{value:g} s" if value else ""


def _place(when: str) -> tuple[int, int]:
    phase, _, number = when.partition(":")
    return _ORDER.index(phase), int(number or 0)


def _shown(trial: TrialResult, seen: Collection[int]) -> dict[str, Any]:
    judged = trial.judgement
    silence = next((one for one in judged.statements if one.witness == "website"), None)
    number, told = trial.facts.number, trial.facts.facts
    operator = told["rescue"]["operator"] if "rescue" in told else None
    return {
        "number": number,
        "linked": number in seen,
        "verdict": judged.verdict,
        "text": judged.text,
        "silent": None if silence is None else _silent(silence),
        "operator": None if operator is None else ", ".join(operator) or "nothing",
        "rebuilt": told.get("healing", {}).get("lab") == "rebuilt",
        "place": trial.facts.proof.get("place", {}).get("evidence", "not known where it runs"),
    }


def _silent(silence: Statement) -> str | None:
    if silence.from_s is None or silence.until_s is None:
        return None
    return f"{silence.until_s - silence.from_s:.2f} s" + (" to the end" if "no answer" in silence.text else "")


def lines(summary: Summary) -> list[str]:
    """The matrix in words, a block for each disturbance; empty for an undisturbed run."""
    found = matrix(summary, ())
    if found is None:
        return []
    said = ["What each disturbance did"]
    for what, cells in found["rows"]:
        said.append(what)
        said += [
            f"  {phase}: {_words(one)}" for phase, cell in zip(found["phases"], cells, strict=True) for one in cell
        ]
    return said


def _words(one: dict[str, Any]) -> str:
    silent = f", silent {one['silent']}" if one["silent"] else ""
    operator = "" if one["operator"] is None else f"; operator: {one['operator']}"
    return f"{one['verdict']}{silent}; {one['place']}{operator}{'; lab rebuilt' if one['rebuilt'] else ''}"
