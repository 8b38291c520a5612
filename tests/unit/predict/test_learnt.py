"""What a table teaches: a fit for each accelerator, intervals, what it is based on, what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
from madetrials import TRUE, campaign, points

from migrascope.mechanism.rules import Step
from migrascope.predict.dataset import row_of, write
from migrascope.predict.learnt import Learnt, learnt
from migrascope.predict.request import NotPredicted, Request
from migrascope.predict.trials import Trial


def table(path: Path, trials: list[Trial], run: str = "one") -> Path:
    write(path, [row_of(trial, points(trial), run) for trial in trials])
    return path


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Learnt, list[Trial]]:
    trials = [*campaign("fit", (2e6, 8e6), (12,), 0), *campaign("calibrate", (3e6, 5e6, 12e6), (12,), 20_000)]
    # a fit that saw these would be of another link
    slow = [
        replace(each, split="held-out", outcome=replace(each.outcome, time_s=1000.0))
        for each in campaign("held-out", (4e6,), (12,), 40_000)
    ]
    path = table(tmp_path_factory.mktemp("taught") / "data.parquet", [*trials, *slow])
    return learnt(path), trials


def test_what_is_held_out_teaches_nothing(taught: tuple[Learnt, list[Trial]]) -> None:
    fitted = taught[0].predictors["tcg"].fitted
    assert fitted.trials == 16
    assert fitted.parameters.speed == pytest.approx(TRUE.speed, rel=0.05)
    assert taught[0].words("") == "16 trials of 8 cells, tcg, on unknown machines"


def test_it_gives_intervals(taught: tuple[Learnt, list[Trial]]) -> None:
    found, trials = taught
    prediction = found.predict(next(trial.request for trial in trials if trial.outcome.ended))
    assert set(prediction.intervals) == {"time_s", "pause_s", "data_bytes"}


def refused(found: Learnt, request: Request) -> str:
    with pytest.raises(NotPredicted, match="cannot be predicted, because") as raised:
        found.predict(request)
    assert raised.value.code == 3
    return str(raised.value)


def test_outside_of_what_was_fitted_it_says_why(taught: tuple[Learnt, list[Trial]]) -> None:
    found, trials = taught
    request = trials[0].request
    assert "accelerator kvm was not fitted" in refused(found, replace(request, accelerator="kvm"))
    assert "the link of" in refused(found, replace(request, link_Bps=4 * 40e6))
    settings = replace(request.settings, form="xbzrle")
    assert "the policy xbzrle was not fitted" in refused(found, replace(request, settings=settings))
    settings = replace(request.settings, limits=(Step(0.0, 5.0),))
    assert "the downtime limit of 5000 ms" in refused(found, replace(request, settings=settings))


def test_too_few_trials_are_said(tmp_path: Path) -> None:
    few = campaign("fit", (2e6,), (12,), 0)[:4]
    found = learnt(table(tmp_path / "few.parquet", few))
    assert "4 trials of 2 cells are too few" in refused(found, few[0].request)


def test_the_trials_of_the_run_that_is_predicted_are_left_out(tmp_path: Path) -> None:
    found = learnt(table(tmp_path / "own.parquet", campaign("fit", (2e6, 8e6), (12,), 0), "mine"), without="mine")
    assert not found.predictors
