"""How good predictions were: predicted against measured, over cells that no fit has seen."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from migrascope.mechanism.copying import Course
from migrascope.predict.conformal import coverage_of
from migrascope.predict.predictor import FIGURES, Figure, Interval, Prediction
from migrascope.predict.texts import DASH, ms, percent
from migrascope.predict.trials import Outcome, Trial, by_cell

RESAMPLED = 2000


@dataclass(frozen=True)
class Scored:
    """One trial and what was predicted of it."""

    trial: Trial
    prediction: Prediction


@dataclass(frozen=True)
class Error:
    """Of a figure: the median and the 90th percentile of the relative error, of a pause of the error in seconds; of how
    many trials. None without one."""

    p50: float | None
    p90: float | None
    n: int


@dataclass(frozen=True)
class Coverage:
    """of: the share of trials within their interval, cells weighing the same. width: the median of high over low, of a
    pause of high less low. None without an interval."""

    of: float | None
    width: float | None
    n: int


def error_of(figure: Figure, predicted: Course, measured: Outcome) -> float | None:
    """|predicted / measured - 1|, of a pause the difference. Infinite where it was predicted never to end, and ended;
    None where it did not end, or was not measured: whether it ends has a score of its own."""
    seen = getattr(measured, figure)
    if not measured.ended or seen is None:
        return None
    value = getattr(predicted, figure)
    if not predicted.ends or value is None:
        return math.inf
    return float(abs(value - seen) if figure == "pause_s" else abs(value / seen - 1))


def errors(figure: Figure, scored: Sequence[Scored]) -> Error:
    """Over all trials in which it was measured."""
    found = [e for each in scored if (e := error_of(figure, each.prediction.course, each.trial.outcome)) is not None]
    return _error(found)


def own_spread(figure: Figure, trials: Iterable[Trial]) -> Error:
    """How far trials of one cell are off one another: the error of the median of a cell's other trials as a prediction
    of each. Nobody who knows no more than what was set can do better. Nothing of cells of one trial."""
    found = []
    for group in by_cell(trials).values():
        seen = [value for each in group if each.outcome.ended and (value := getattr(each.outcome, figure)) is not None]
        for at, value in enumerate(seen):
            others = [*seen[:at], *seen[at + 1 :]]
            if others:
                off = abs(float(np.median(others)) - value)
                found.append(off if figure == "pause_s" else off / value)
    return _error(found)


def _error(found: Sequence[float]) -> Error:
    if not found:
        return Error(None, None, 0)
    return Error(quantile(found, 0.5), quantile(found, 0.9), len(found))


def quantile(values: Sequence[float], level: float) -> float:
    """The least value that so large a share does not exceed: an infinite one has a rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(level * len(ordered) - 1e-9) - 1)]


def brier(scored: Sequence[Scored]) -> float | None:
    """The mean square of the probability that it ends less whether it did (Brier 1950); None without a trial."""
    if not scored:
        return None
    return sum((each.prediction.ends - each.trial.outcome.ended) ** 2 for each in scored) / len(scored)


def coverage(figure: Figure, scored: Sequence[Scored]) -> Coverage:
    """Of the intervals of a figure."""
    inside: dict[str, list[bool]] = {}
    widths = []
    for each in scored:
        interval, seen = each.prediction.intervals.get(figure), getattr(each.trial.outcome, figure)
        if interval is None or seen is None or not each.trial.outcome.ended:
            continue
        inside.setdefault(each.trial.cell, []).append(interval.holds(seen))
        widths.append(_width(figure, interval))
    return Coverage(coverage_of(inside), float(np.median(widths)) if widths else None, len(widths))


def _width(figure: Figure, interval: Interval) -> float:
    return interval.high - interval.low if figure == "pause_s" else interval.high / interval.low


def better_p90(figure: Figure, ours: Sequence[Scored], others: Sequence[Scored], seed: int = 1) -> Interval | None:
    """The 95 % interval of the other's p90 over ours, by a bootstrap over cells (percentiles of 2000): ours is better
    where it lies above 1. Both have to score the same trials. None below two cells, or where a p90 is infinite or 0."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for mine, other in zip(ours, others, strict=True):
        if mine.trial is not other.trial:
            raise ValueError("two models are compared on the same trials, in the same order")
        pair = [error_of(figure, each.prediction.course, each.trial.outcome) for each in (mine, other)]
        if pair[0] is not None and pair[1] is not None:
            rows.setdefault(mine.trial.cell, []).append((pair[0], pair[1]))
    cells = list(rows.values())
    if len(cells) < 2:
        return None
    random = np.random.default_rng(seed)
    ratios = []
    for _ in range(RESAMPLED):
        drawn = [pair for at in random.integers(len(cells), size=len(cells)) for pair in cells[at]]
        first, second = (quantile([pair[side] for pair in drawn], 0.9) for side in (0, 1))
        if math.isinf(first) or math.isinf(second) or first <= 0:
            return None
        ratios.append(second / first)
    return Interval(*(float(value) for value in np.quantile(ratios, [0.025, 0.975])))


def table(scored: Mapping[str, Sequence[Scored]]) -> list[list[str]]:
    """A row for each model, beneath a head: the errors, the Brier score, the coverage of the intervals of time."""
    rows = [["model", "time p50", "p90", "data p50", "p90", "pause p50", "p90", "Brier", "covered", "trials"]]
    for name, each in scored.items():
        time, data, pause = (errors(figure, each) for figure in (FIGURES[0], FIGURES[2], FIGURES[1]))
        covered, score = coverage("time_s", each).of, brier(each)
        rows.append([
            name, *map(percent, (time.p50, time.p90, data.p50, data.p90)), *map(ms, (pause.p50, pause.p90)),
            DASH if score is None else f"{score:.3f}", percent(covered), str(len(each)),
        ])  # fmt: skip
    return rows
