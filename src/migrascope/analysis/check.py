"""A run against thresholds: by the ends of the intervals, so that chance alone neither passes nor fails."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final
from xml.etree import ElementTree

from migrascope.analysis.limit import Decided
from migrascope.analysis.results import Cell, Statistic, Verdict
from migrascope.analysis.statistics import FEWEST
from migrascope.analysis.summary import Summary
from migrascope.model.problem import UsageProblem
from migrascope.model.schedule import Factors
from migrascope.model.threshold import Threshold, in_unit
from migrascope.model.units import human

PASS: Final = "pass"
FAIL: Final = "fail"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True)
class Check:
    """One threshold on one figure of one cell; in how many of so many trials the downtime limit decided, and of how
    many that is not known."""

    cell: str
    key: str
    outcome: Verdict
    text: str
    limit_decided: int = 0
    limit_unknown: int = 0
    of: int = 0


def check_run(summary: Summary, wanted: Mapping[str, Threshold]) -> list[Check]:
    """Every threshold on every cell of the plan's axes; those of its second part are there for another question.
    UsageProblem for a figure that there is not, or a threshold that is no quantity.

    pass: the whole interval keeps to it; fail: the whole interval crosses it; unknown: it lies on both sides, an end of
    it was cut off, there are too few trials for one, or trials failed or have no value and are in no interval.
    """
    cells = summary.first_part()
    beside = [cell.factors for cell in cells]
    found = []
    for cell in cells:
        for key, threshold in wanted.items():
            if key not in cell.metrics and cell.trials > cell.failed:
                raise UsageProblem(f"thresholds.{key}: no figure of this name; migrascope show --json lists them")
            try:
                outcome, text = _check(cell, cell.metrics.get(key), threshold)
            except ValueError as error:
                raise UsageProblem(f"thresholds.{key}: {error}") from error
            decided = Decided.in_cell(cell)
            said = f"{text}; {decided.words}" if decided.words else text
            limits = (decided.limit_decided, decided.unknown, decided.of)
            found.append(Check(cell.factors.label(beside), key, outcome, said, *limits))
    return found


def unfinished(summary: Summary, planned: Sequence[Factors]) -> list[Check]:
    """A check that is unknown for each cell of which fewer trials were run than are planned. planned: the factors of
    each trial of the plan."""
    found = []
    run = {cell.factors: cell.trials for cell in summary.cells}
    for factors, count in Counter(planned).items():
        if (done := run.get(factors, 0)) < count:
            words = f"{done} of {count} trials were run; next: migrascope run --resume {summary.run}"
            found.append(Check(factors.label([*planned]), "trials", UNKNOWN, words))
    return found


def _check(cell: Cell, statistic: Statistic | None, threshold: Threshold) -> tuple[Verdict, str]:
    if statistic is None or statistic.median is None:
        return UNKNOWN, (statistic and statistic.reason) or "no trial measured it"
    bounds = [(word, in_unit(text, statistic.unit)) for word, text in threshold if text is not None]
    said = " and ".join(f"{word} {human(bound, statistic.unit)}" for word, bound in bounds)
    if statistic.low is None or statistic.high is None:
        median = _text(statistic, "median")
        return UNKNOWN, f"{median} in the median of {statistic.n}, {FEWEST} are needed for an interval ({said})"
    outcomes = {_side(word, bound, statistic) for word, bound in bounds}
    outcome = next(value for value in (FAIL, UNKNOWN, PASS) if value in outcomes)
    words = f"{_text(statistic, 'low')} to {_text(statistic, 'high')} ({said})"
    if cell.failed and outcome == PASS:
        return UNKNOWN, f"{words}, but {cell.failed} of {cell.trials} trials failed and are not in it"
    unmeasured = cell.trials - cell.failed - statistic.n
    if unmeasured > 0 and outcome == PASS:
        return UNKNOWN, f"{words}, but {unmeasured} of {cell.trials} trials have no value and are not in it"
    verdicts: dict[str, Verdict] = {PASS: "pass", FAIL: "fail", UNKNOWN: "unknown"}
    return verdicts[outcome], words


def _side(word: str, bound: float, statistic: Statistic) -> str:
    """An end that is a lower bound may be any more: what it is below, the truth need not be."""
    low, high = statistic.low, inf if "high" in statistic.at_least else statistic.high
    assert low is not None
    assert high is not None
    if word == "most":
        return PASS if high <= bound else FAIL if low > bound else UNKNOWN
    return PASS if low >= bound else FAIL if high < bound else UNKNOWN


def _text(statistic: Statistic, name: str) -> str:
    return statistic.text(name, lambda value: human(value, statistic.unit)) or ""


def junit(run: str, checks: Sequence[Check]) -> str:
    """The checks as JUnit XML: a test case each; what cannot be told is skipped."""
    counted = Counter(check.outcome for check in checks)
    suite = ElementTree.Element(
        "testsuite",
        {"name": f"migrascope {run}", "tests": str(len(checks)), "failures": str(counted["fail"]),
         "skipped": str(counted["unknown"])},
    )  # fmt: skip
    for check in checks:
        case = ElementTree.SubElement(suite, "testcase", {"classname": check.cell, "name": check.key})
        if check.outcome != PASS:
            tag = "failure" if check.outcome == FAIL else "skipped"
            ElementTree.SubElement(case, tag, {"message": check.text})
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
