"""What more data do, by permuting the doses: exact by enumeration, and by simulation neither too sure nor too short."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from judged import NO_CALIBRATION, bounded, result
from numpy.typing import NDArray

from migrascope.analysis.findings import findings
from migrascope.analysis.results import Finding, TrialResult
from migrascope.analysis.slope import FEWEST_PERMUTATIONS, Slope, Unit, slope
from migrascope.model.axes import Scenario
from migrascope.model.schedule import Factors

DOSES = (0, 128, 256, 512)
PER_MB = 0.0084
FIGURES = ("migration_time_s", "vm_pause_s", "network_blackout_s")


def units(spread: list[float], *, per_mb: float = PER_MB, doses: tuple[int, ...] = DOSES) -> list[Unit]:
    """Cells of as many scenarios as the spread is long for, each off the line by its spread."""
    off = iter(spread)
    return [
        Unit(stratum, dose, 120 + 60 * stratum + dose, per_mb * (120 + 60 * stratum + dose) + next(off))
        for stratum in range(len(spread) // len(doses))
        for dose in doses
    ]


def seen_in(given: list[Unit]) -> Slope:
    found = slope(given)
    assert isinstance(found, Slope), found
    return found


@given(st.lists(st.integers(-10_000, 10_000), min_size=8, max_size=8, unique=True))
def test_the_interval_holds_the_slopes_that_no_permutation_test_rejects(spread: list[int]) -> None:
    """Against the definition: every permutation, the sum of dose * (y - slope * x), both sides at 2.5 %."""
    given = units([value / 7 for value in spread])
    found = seen_in(given)
    assume(found.high - found.low > 1e-9)
    columns = np.array([(unit.dose, unit.x, unit.y) for unit in given], dtype=float).reshape(2, 4, 3)
    ways = np.array(
        [
            (first, second)
            for first in itertools.permutations(columns[0, :, 0] - 224)
            for second in itertools.permutations(columns[1, :, 0] - 224)
        ]
    )

    def rejected(at: float) -> bool:
        rest = columns[:, :, 2] - at * columns[:, :, 1]
        sums = (ways * rest).sum((1, 2))
        near = 1e-9 * np.abs(sums).max()
        return bool(min((sums >= sums[0] - near).mean(), (sums <= sums[0] + near).mean()) <= 0.025)

    step = 1e-6 * (found.high - found.low)
    assert not rejected(found.low + step)
    assert not rejected(found.high - step)
    assert rejected(found.low - step)
    assert rejected(found.high + step)
    assert found.low <= found.slope <= found.high
    assert found.coverage == 1 - 28 / 576


def test_a_line_is_found_as_it_is() -> None:
    found = seen_in(units([0.0] * 8))
    assert (found.slope, found.low, found.high) == pytest.approx((PER_MB, PER_MB, PER_MB))
    assert (found.cells, found.strata, found.permutations, found.sign()) == (8, 2, 576, 1)


def test_without_enough_permutations_there_is_none() -> None:
    assert slope(units([0.0] * 4)) == "24 permutations of the doses, 40 are needed"
    assert slope([replace(unit, stratum=at) for at, unit in enumerate(units([0.0] * 8))]) == "no dose was set"
    assert seen_in(units([0.0] * 5, doses=(0, 64, 128, 256, 512))).permutations == 120 >= FEWEST_PERMUTATIONS


def test_a_dose_that_does_not_carry_more_data_is_none() -> None:
    swapped = [replace(unit, x=300.0 - unit.x) if unit.dose == 512 else unit for unit in units([0.0] * 8)]
    assert slope(swapped) == "a larger dose did not carry more data throughout"


def test_more_permutations_than_can_be_gone_through_are_drawn() -> None:
    found = seen_in(units(np.random.default_rng(3).normal(0, 0.05, 16).tolist()))
    assert (found.strata, found.permutations) == (4, 20_000)
    assert found.low < found.slope < found.high
    assert found.coverage == pytest.approx(0.95)
    assert found == seen_in(units(np.random.default_rng(3).normal(0, 0.05, 16).tolist())), "the same each time"


@pytest.mark.parametrize("slope_of", [0.0, PER_MB])
@pytest.mark.parametrize("cluster", ["normal", "heavy", "skewed"])
def test_the_interval_misses_the_slope_as_seldom_as_it_says(slope_of: float, cluster: str) -> None:
    """Cells that lie off the line each by their own amount, as clusters do, and trials that scatter about them."""
    chance, missed, runs = np.random.default_rng(11), 0, 1500
    shapes: dict[str, Callable[[], NDArray[np.float64]]] = {
        "normal": lambda: chance.normal(0, 1, 8),
        "heavy": lambda: chance.standard_t(2, 8),
        "skewed": lambda: chance.standard_exponential(8),
    }
    for _ in range(runs):
        cells = shapes[cluster]() + np.median(chance.normal(0, 0.5, (8, 2)), axis=1)
        found = seen_in(units(cells.tolist(), per_mb=slope_of))
        missed += not found.low <= slope_of <= found.high
    assert bounded(missed, runs, 28 / 576)
    assert missed > 0.02 * runs, "it is no wider than it has to be"


def test_spreads_that_grow_with_the_dose_cost_little() -> None:
    """The one assumption, broken: a spread four times as large at the largest dose."""
    chance, missed, runs = np.random.default_rng(12), 0, 1500
    for _ in range(runs):
        found = seen_in(units((chance.normal(0, 1, 8) * np.tile([1, 1.75, 2.5, 4], 2)).tolist(), per_mb=0.0))
        missed += found.sign() != 0
    assert bounded(missed, runs, 0.09)


def trials(chance: np.random.Generator, *, dosed: bool, per_mb: float = 0.0) -> list[TrialResult]:
    """A study whose cells take each its own time, whatever they carry: three scenarios in six blocks, or two of them
    with four doses in two blocks."""
    scenarios: tuple[Scenario, ...] = ("none", "offline") if dosed else ("none", "offline", "online")
    cells = [
        Factors(scenario, "pre-copy", 2**30, 1e9, 100.0, "warm", resident_bytes=dose * 2**20)
        for scenario in scenarios
        for dose in (DOSES if dosed else (0,))
    ]
    found: list[TrialResult] = []
    for cell in cells:
        data = 120e6 + cell.resident_bytes + (60e6 if cell.scenario == "offline" else 0)
        own_s = 5 + chance.normal(0, 1) + per_mb * data / 1e6
        for block in range(1, 3 if dosed else 7):
            values: dict[str, Any] = {key: own_s + chance.normal(0, 0.2) for key in FIGURES}
            carried = data + chance.normal(0, 1e6)
            found.append(result(len(found) + 1, block, cell, data_transferred_bytes=carried, reported_downtime_s=1.0,
                                set_downtime_limit_s=100.0, **values))  # fmt: skip
    return found


def conclusions(results: list[TrialResult]) -> dict[str, Finding]:
    every = [
        finding
        for finding in findings(results, "kvm", NO_CALIBRATION)
        if finding.topic in ("data-time", "data-downtime")
    ]
    return {finding.evidence.get("metric", "migration_time_s"): finding for finding in every}


def test_scenarios_alone_carry_no_conclusion() -> None:
    """Each scenario is one cluster, however often it is tried; the sentence says what would carry one."""
    chance = np.random.default_rng(13)
    for _ in range(30):
        for finding in conclusions(trials(chance, dosed=False, per_mb=0.5)).values():
            assert finding.verdict == "unknown"
            assert "not set but followed from 3 kinds of guest: 3 clusters, too few for an interval" in finding.text
    (time, *_) = conclusions(trials(chance, dosed=False)).values()
    assert "four doses in each of two scenarios" in time.text


def test_clusters_that_do_not_go_with_the_data_are_seldom_taken_to() -> None:
    chance, runs = np.random.default_rng(14), 250
    claims = dict.fromkeys(FIGURES, 0)
    for _ in range(runs):
        for key, finding in conclusions(trials(chance, dosed=True)).items():
            claims[key] += finding.verdict != "unknown"
    assert all(bounded(count, runs, 28 / 576) for count in claims.values()), claims


def test_a_study_with_doses_answers_both_questions_with_an_interval_and_with_what_decided() -> None:
    found = conclusions(trials(np.random.default_rng(15), dosed=True, per_mb=0.05))
    for finding in found.values():
        assert finding.verdict == "pass"
        assert "95 % interval" in finding.text
        assert "8 cells of 16 trials, resident memory set within 2 otherwise equal settings" in finding.text
        assert "downtime limit 100 s (stop-and-copy): it decided in none" in finding.text
        assert finding.evidence["low"] < 0.05e-6 < finding.evidence["high"]
        assert (finding.evidence["limit_decided"], finding.evidence["of"]) == (0, 16)
    assert set(found) == set(FIGURES)
