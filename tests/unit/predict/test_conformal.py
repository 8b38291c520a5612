"""The intervals hold what they promise: shown on cells that are drawn anew a thousand times."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from migrascope.predict.conformal import coverage_of, fewest, margin

REPEATED = 1500


def trials(random: np.random.Generator, count: int, between: float, within: float) -> list[float]:
    """Errors of one cell: the cell's own, shared by its trials, and each trial's."""
    errors: list[float] = np.abs(random.normal(0, between) + random.normal(0, within, count)).tolist()
    return errors


def covered(cells: int, count: Callable[[np.random.Generator], int], between: float, within: float) -> float:
    """How often a trial of a new cell is within the margin of the others."""
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(REPEATED):
        scores = {str(at): trials(random, count(random), between, within) for at in range(cells)}
        found = margin(scores)
        assert found.value is not None
        hits += trials(random, 1, between, within)[0] <= found.value
    return hits / REPEATED


@pytest.mark.parametrize("cells", [9, 12, 20, 40])
@pytest.mark.parametrize(("between", "within"), [(1.0, 0.1), (0.1, 1.0), (1.0, 1.0)])
def test_nine_in_ten_trials_of_new_cells_are_covered(cells: int, between: float, within: float) -> None:
    share = covered(cells, lambda random: 6, between, within)
    error = math.sqrt(0.9 * 0.1 / REPEATED)
    # at the most a whole cell's weight more than the level
    assert 0.9 - 3 * error <= share <= 0.9 + 1 / (cells + 1) + 3 * error


def test_cells_of_many_trials_do_not_outweigh_those_of_few() -> None:
    share = covered(20, lambda random: int(random.choice([1, 40])), 1.0, 0.3)
    assert share >= 0.9 - 3 * math.sqrt(0.9 * 0.1 / REPEATED)


def test_pooling_trials_as_if_they_were_cells_would_not_cover() -> None:
    """Why cells are counted and not trials: what a plain quantile over all trials of ten cells covers."""
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(REPEATED):
        pooled = np.sort(np.concatenate([trials(random, 50, 1.0, 0.1) for _ in range(10)]))
        hits += trials(random, 1, 1.0, 0.1)[0] <= pooled[math.ceil(0.9 * (len(pooled) + 1)) - 1]
    assert hits / REPEATED < 0.89


@pytest.mark.parametrize("cells", [0, 1, 8])
def test_few_cells_give_no_interval_and_say_so(cells: int) -> None:
    found = margin({str(at): [0.1] * 100 for at in range(cells)})
    assert (found.value, found.cells) == (None, cells)
    assert f"{cells} calibration cells allow no interval of 90 %: at least 9" in found.why


def test_nine_cells_are_enough_and_the_worst_of_them_counts() -> None:
    assert fewest() == 9
    assert margin({str(at): [float(at)] for at in range(9)}).value == 8.0


def test_cells_in_which_nothing_was_scored_do_not_count() -> None:
    scores = {str(at): [0.1] for at in range(8)} | {"empty": []}
    assert margin(scores).value is None


def test_errors_without_a_bound_give_no_interval() -> None:
    scores = {str(at): [0.1 if at else math.inf] for at in range(9)}
    found = margin(scores)
    assert found.value is None
    assert "no bound" in found.why


def test_the_level_is_the_caller_s() -> None:
    scores = {str(at): [float(at)] for at in range(19)}
    assert margin(scores, 0.5).value == 9.0
    assert margin(scores, 0.95).value == 18.0


def test_coverage_weighs_cells_alike() -> None:
    assert coverage_of({"a": [True] * 9 + [False], "b": [False]}) == pytest.approx(0.45)
    assert coverage_of({"a": []}) is None
