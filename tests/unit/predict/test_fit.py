"""Fits to migrations that the paged loop made: with dirty rates that differ from what was sampled, and a pause."""

from dataclasses import replace

import pytest
from madetrials import TRUE, campaign, made

from migrascope.mechanism.copying import Course
from migrascope.mechanism.dirtying import Dirtying, WorkingSet
from migrascope.mechanism.rules import Step
from migrascope.predict.baselines import MODELS
from migrascope.predict.fit import Fitted, NotFitted, fit, probability
from migrascope.predict.predictor import FIGURES, Predictor
from migrascope.predict.request import Guest, NotPredicted, Settings
from migrascope.predict.score import Scored, better_p90, brier, coverage, errors, own_spread, table
from migrascope.predict.trials import Outcome, Trial

MIB = 2**20


@pytest.fixture(scope="module")
def fitted_trials() -> list[Trial]:
    return campaign("fit", (1e6, 5e6, 12e6, 30e6), (8, 32), 0)


@pytest.fixture(scope="module")
def calibration() -> list[Trial]:
    return campaign("calibrate", (2e6, 8e6, 15e6), (12, 24), 20_000)


@pytest.fixture(scope="module")
def held_out() -> list[Trial]:
    return campaign("held-out", (4e6, 7e6, 20e6), (16,), 40_000)


@pytest.fixture(scope="module")
def mechanism(fitted_trials: list[Trial]) -> Fitted:
    return fit(MODELS[0], fitted_trials)


def test_the_parameters_are_found_again(mechanism: Fitted) -> None:
    found = mechanism.parameters
    assert found.speed == pytest.approx(TRUE.speed, rel=0.03)
    assert found.dirty == pytest.approx(TRUE.dirty, rel=0.1)
    assert found.pause_s == pytest.approx(TRUE.pause_s, abs=0.015)
    assert found.backlog_bytes == pytest.approx(TRUE.backlog_bytes, rel=0.4)
    assert (mechanism.trials, len(mechanism.cells)) == (64, 32)


def test_one_absurd_trial_in_a_cell_does_not_decide(mechanism: Fitted, fitted_trials: list[Trial]) -> None:
    worst = replace(fitted_trials[0], outcome=replace(fitted_trials[0].outcome, time_s=19.0, data_bytes=1e9))
    found = fit(MODELS[0], [worst, *fitted_trials[1:]]).parameters
    assert found.speed == pytest.approx(mechanism.parameters.speed, rel=0.02)
    assert found.dirty == pytest.approx(mechanism.parameters.dirty, rel=0.05)


def test_nothing_is_fitted_or_calibrated_to_held_out_cells(
    fitted_trials: list[Trial], held_out: list[Trial], mechanism: Fitted
) -> None:
    with pytest.raises(NotFitted, match="is held out: nothing may be fitted to it"):
        fit(MODELS[0], [*fitted_trials, held_out[0]])
    with pytest.raises(NotFitted, match="is no calibration cell"):
        Predictor.calibrated(mechanism, held_out)
    with pytest.raises(NotFitted, match="is no calibration cell"):
        Predictor.calibrated(mechanism, fitted_trials)


def test_cells_that_were_fitted_calibrate_nothing_whatever_they_are_called(
    fitted_trials: list[Trial], mechanism: Fitted
) -> None:
    with pytest.raises(NotFitted, match="was fitted"):
        Predictor.calibrated(mechanism, [replace(trial, split="calibrate") for trial in fitted_trials])


def test_few_trials_are_not_fitted(fitted_trials: list[Trial]) -> None:
    with pytest.raises(NotFitted, match="too few"):
        fit(MODELS[0], fitted_trials[:9])
    with pytest.raises(NotFitted, match="16 trials of 2 cells are too few"):
        fit(MODELS[0], fitted_trials[:4] * 4)


def test_in_cells_that_it_has_not_seen_it_is_right_and_others_are_less(
    fitted_trials: list[Trial], mechanism: Fitted, calibration: list[Trial], held_out: list[Trial]
) -> None:
    scored = {}
    for fitted in (mechanism, *(fit(model, fitted_trials) for model in MODELS[1:])):
        predictor = Predictor.calibrated(fitted, calibration)
        scored[fitted.model.name] = [Scored(trial, predictor.predict(trial.request)) for trial in held_out]
    ours = scored[MODELS[0].name]
    time, data, pause = (errors(figure, ours) for figure in ("time_s", "data_bytes", "pause_s"))
    assert time.p90 is not None
    assert time.p90 < 0.12
    assert data.p90 is not None
    assert data.p90 < 0.12
    assert pause.p50 is not None
    assert pause.p50 < 0.03
    score = brier(ours)
    assert score is not None
    assert score < 0.1
    for other in ("constant rate", "Gudkov", "Nathan"):
        theirs = errors("pause_s", scored[other])
        assert theirs.p90 is not None
        assert pause.p90 is not None
        assert theirs.p90 > pause.p90
    covered = coverage("time_s", ours)
    assert covered.of is not None
    assert covered.of >= 0.8
    assert covered.width is not None
    assert covered.width < 1.5
    assert len(table(scored)) == 1 + len(MODELS)


def test_better_means_better_over_cells() -> None:
    trials = [
        replace(made(1e6, 8, 40e6, 0.3, 1), cell=str(cell), outcome=Outcome(True, time_s=10.0)) for cell in range(12)
    ]

    def always(time_s: float) -> list[Scored]:
        predictor = Predictor.alone(
            Fitted(replace(MODELS[0], course=lambda *_: Course(True, time_s, 0, 0, 1)), TRUE), ""
        )
        return [Scored(trial, predictor.predict(trial.request)) for trial in trials]

    found = better_p90("time_s", always(10.5), always(12.0))
    assert found is not None
    assert found.low > 1
    assert better_p90("time_s", always(10.5), always(10.5)) == better_p90("time_s", always(12.0), always(12.0))
    with pytest.raises(ValueError, match="same trials"):
        better_p90("time_s", always(10.5), always(12.0)[::-1])


def test_the_spread_of_a_cell_is_what_its_own_trials_are_off_one_another() -> None:
    def trial(cell: str, time_s: float, *, ended: bool = True) -> Trial:
        outcome = Outcome(ended, time_s, pause_s=time_s / 10)
        return replace(made(1e6, 8, 40e6, 0.3, 1), cell=cell, outcome=outcome)

    found = own_spread("time_s", [trial("a", 10.0), trial("b", 8.0), trial("a", 12.5), trial("b", 1.0, ended=False)])
    assert found.p50 == pytest.approx(0.2)
    assert found.p90 == pytest.approx(0.25)
    assert found.n == 2
    assert own_spread("pause_s", [trial("a", 10.0), trial("a", 12.5)]).p90 == pytest.approx(0.25)
    assert own_spread("time_s", [trial("a", 10.0), trial("b", 8.0)]).p90 is None


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"accelerator": "kvm"}, "accelerator kvm"),
        ({"link_Bps": 160e6}, "link of 1280 Mbit/s is far from the 160 to 320 Mbit/s"),
        ({"link_Bps": 5e6}, "link"),
        ({"settings": Settings("post-copy", (Step(0.0, 0.3),))}, "policy post-copy"),
        ({"settings": Settings("pre-copy", (Step(0.0, 2.0),))}, "downtime limit of 2000 ms"),
        ({"guest": Guest(2**32, 2**30)}, "memory in use of 1024 MiB"),
        ({"guest": Guest(2**26, 48 * MIB, Dirtying((WorkingSet(48 * MIB, 900e6),)))}, "the guest dirties"),
    ],
)
def test_what_it_was_not_fitted_for_it_does_not_guess(
    mechanism: Fitted, fitted_trials: list[Trial], change: dict[str, object], names: str
) -> None:
    wanted = replace(fitted_trials[0].request, **change)  # type: ignore[arg-type]
    with pytest.raises(NotPredicted, match=f"cannot be predicted, because .*{names}"):
        mechanism.course(wanted)


def test_a_link_between_those_that_were_fitted_is_no_guess(mechanism: Fitted, fitted_trials: list[Trial]) -> None:
    assert mechanism.course(replace(fitted_trials[0].request, link_Bps=30e6)).ends


def test_without_calibration_there_are_figures_and_the_reason_why_no_interval(
    mechanism: Fitted, calibration: list[Trial]
) -> None:
    few = Predictor.calibrated(mechanism, [trial for trial in calibration if trial.cell == calibration[0].cell])
    found = few.predict(calibration[0].request)
    assert found.course.ends
    assert not found.intervals
    assert set(found.whys) == set(FIGURES)
    assert "calibration cells allow no interval" in found.whys["time_s"]
    assert found.as_json()["time_s"]["interval"] is None


def test_the_probability_falls_as_the_guest_writes_more(mechanism: Fitted, fitted_trials: list[Trial]) -> None:
    wanted = fitted_trials[0].request
    chances = []
    for rate in (2e6, 8e6, 14e6, 20e6, 400e6):
        guest = replace(wanted.guest, dirtying=Dirtying((WorkingSet(32 * MIB, rate),)))
        chances.append(probability(mechanism.courses(replace(wanted, guest=guest))))
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.95
    assert chances[-1] < 0.05
