"""What predictions are to reach, beside what they do, for benchmarks/prediction.py."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from common import verdict
from migrascope.predict.advice import Mind
from migrascope.predict.baselines import MODELS
from migrascope.predict.predictor import Figure, Predictor
from migrascope.predict.regret import Choice, choices, held_out
from migrascope.predict.score import RESAMPLED, Error, Scored, better_p90, brier, coverage, errors, own_spread, quantile
from migrascope.predict.texts import DASH, ms, percent

TIME, DATA, PAUSE_S, BRIER = 0.15, 0.15, 0.04, 0.05
HALF, LESS = 2.0, 3.0
REGRET_P50, REGRET_P90, GUESTS = 0.05, 0.25, 30
COVERED = (0.85, 0.95)
SPREADS = 1.5
"""So many times what trials of one cell are off one another is as good as a prediction has to be."""
SAMPLED_S = 10.0
RIVALS = ("Gudkov", "Nathan")
ADVISED: tuple[Mind, ...] = ("blackout", "time")
Row = list[str]


def goals(
    data: pl.DataFrame, path: Path, by_model: Mapping[str, Sequence[Scored]], predictor: Predictor,
    every: Sequence[Scored],
) -> list[Row]:  # fmt: skip
    """A row for each goal, beneath a head. data: the table, of one accelerator. by_model: the models on migrations in
    rounds. predictor, every: ours on every policy."""
    guests = held_out(data, path)
    rows = [["what", "goal", "reached", ""]]
    rows.append(_error("migration time, p90 of the error", "time_s", every, TIME))
    rows += [_rival(name, by_model) for name in RIVALS]
    rows.append(_error("VM pause, p90 of the error", "pause_s", every, PAUSE_S))
    rows.append(_error("data, p90 of the error", "data_bytes", every, DATA, spread=False))
    rows += [_covered(f"coverage of {name}", figure, every) for name, figure in _FIGURES.items()]
    rows.append(_ends("ends within the limit, Brier score", brier(every)))
    rows += [_rival_ends(name, by_model) for name in (MODELS[0].name, RIVALS[0])]
    for mind in ADVISED:
        found = choices(guests, predictor, mind)
        rows += [_regret(mind, found), _nova(mind, found)]
    return [*rows, _sampled(data)]


_FIGURES: dict[str, Figure] = {"time": "time_s", "VM pause": "pause_s", "data": "data_bytes"}


def _error(what: str, figure: Figure, every: Sequence[Scored], goal: float, *, spread: bool = True) -> Row:
    text = ms if figure == "pause_s" else percent
    found = errors(figure, every)
    own = own_spread(figure, [each.trial for each in every]) if spread else Error(None, None, 0)
    beside = f" ({SPREADS} times the p90 of {own.n} trials of like cells)" if own.p90 is not None else ""
    if spread and own.p90 is None:
        beside = " (no cell has two trials: their own spread is not known)"
    bound = max(goal, SPREADS * (own.p90 or 0.0))
    met = None if found.p90 is None else found.p90 <= bound
    return [what, f"{text(bound)}{beside}", f"{text(found.p90)}, median {text(found.p50)}, {found.n} trials", _met(met)]


def _rival(name: str, by_model: Mapping[str, Sequence[Scored]]) -> Row:
    ours, theirs = by_model[MODELS[0].name], by_model[name]
    found, other = (errors("time_s", each).p90 for each in (ours, theirs))
    what, goal = f"{name}'s p90 of time over ours", f"{HALF:.0f}"
    if found is None or other is None or found <= 0 or math.isinf(found):
        return [what, goal, DASH, _met(None)]
    interval = better_p90("time_s", ours, theirs)
    between = "no interval" if interval is None else f"95 %: {interval.low:.1f} to {interval.high:.1f}"
    return [what, goal, f"{other / found:.1f} ({between})", _met(other / found >= HALF)]


def _covered(what: str, figure: Figure, every: Sequence[Scored]) -> Row:
    found = coverage(figure, every)
    low, high = COVERED
    goal = f"{percent(low)} to {percent(high)}"
    if found.of is None or found.width is None:
        return [what, goal, DASH, _met(None)]
    width = f"{ms(found.width)} wide" if figure == "pause_s" else f"upper over lower end {found.width:.2f}"
    return [what, goal, f"{percent(found.of)}, {width}, {found.n} trials", _met(low <= found.of <= high)]


def _ends(what: str, score: float | None) -> Row:
    return [
        what,
        f"{BRIER}",
        DASH if score is None else f"{score:.3f}",
        _met(None if score is None else score <= BRIER),
    ]


def _rival_ends(name: str, by_model: Mapping[str, Sequence[Scored]]) -> Row:
    score = brier(by_model[name])
    return [f"  of rounds alone, {name}", "", DASH if score is None else f"{score:.3f}", ""]


def _regret(mind: Mind, found: Sequence[Choice]) -> Row:
    what = f"regret of the advice, {mind}"
    goal = f"median {percent(REGRET_P50)}, p90 {percent(REGRET_P90)}, {GUESTS} guests"
    if not found:
        return [what, goal, "no held-out guest was migrated in two ways in one block", _met(None)]
    regrets = [each.regret for each in found]
    p50, p90 = quantile(regrets, 0.5), quantile(regrets, 0.9)
    ways = float(np.median([each.ways for each in found]))
    met = p50 <= REGRET_P50 and p90 <= REGRET_P90 if len(found) >= GUESTS else None
    reached = f"median {percent(p50)}, p90 {percent(p90)}, {len(found)} guests of {ways:g} ways in the median"
    return [what, goal, reached, _met(met)]


def _nova(mind: Mind, found: Sequence[Choice]) -> Row:
    """Of guests that write."""
    what = f"Nova's defaults over the advice, {mind}"
    ratios = [each.nova / each.cost for each in found if each.nova is not None and each.way.writes]
    ratios = [ratio for ratio in ratios if not math.isnan(ratio)]  # neither ended
    if not ratios:
        return [what, f"{LESS:.0f}", "no held-out guest was migrated by Nova's defaults", _met(None)]
    random = np.random.default_rng(1)
    drawn = [float(np.median(random.choice(ratios, len(ratios)))) for _ in range(RESAMPLED)]
    low, high = (quantile(drawn, level) for level in (0.025, 0.975))
    median = float(np.median(ratios))
    reached = f"median {_times(median)} (95 %: {_times(low)} to {_times(high)}), {len(ratios)} guests"
    return [what, f"{LESS:.0f}", reached, _met(median >= LESS)]


def _times(ratio: float) -> str:
    return "does not end" if math.isinf(ratio) else f"{ratio:.1f}"


def _sampled(data: pl.DataFrame) -> Row:
    what, goal = "sampling, p90", f"{SAMPLED_S:.0f} s"
    if "sampling_s" not in data.columns or not (seen := data["sampling_s"].drop_nulls().to_list()):
        return [what, goal, "the table does not say", _met(None)]
    took = quantile(seen, 0.9)
    return [what, goal, f"{took:.1f} s; what it costs the guest: benchmarks/sampling.py", _met(took <= SAMPLED_S)]


def _met(met: bool | None) -> str:
    return "not known" if met is None else verdict(met)
