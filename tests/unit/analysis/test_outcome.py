"""What a run says as a whole where its trials failed."""

from dataclasses import replace
from io import StringIO

import pytest
from faketrial import PLAN
from rich.console import Console

from fakerun import fake_run
from migrascope.analysis.outcome import nothing, overload
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.model.load import Load
from migrascope.report.terminal.run_table import show

WHY = "this machine serves 31 visits/s, the plan asks for 100"
PLANNED = Load(50.0, 50.0, 2, "plan", 61.0, 24.0)


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return analyse(fake_run(tmp_path_factory.mktemp("run"), PLAN))


def failed(summary: Summary, count: int, status: str = "overloaded", why: str = WHY) -> Summary:
    """The run with its first trials failed."""
    trials = [
        replace(trial, facts=replace(trial.facts, status=status, reason=why)) if at < count else trial
        for at, trial in enumerate(summary.trials)
    ]
    return replace(summary, trials=trials)


def printed(summary: Summary) -> str:
    out = StringIO()
    show(summary, Console(file=out, width=80))
    return out.getvalue()


def test_a_run_whose_trials_went_well_says_nothing_of_it(summary: Summary) -> None:
    assert overload(summary) is None
    assert nothing(summary) is None


@pytest.mark.parametrize(
    ("load", "todo"),
    [
        (PLANNED, "give at most 24 visits/s of each kind in [visitors], or no number: then what fits is found"),
        (replace(PLANNED, fits=None), "leave new_rate and kept_rate out of [visitors]"),
        (replace(PLANNED, how="found"), "end other work on this machine and run again"),
    ],
)
def test_the_first_line_says_what_to_do(summary: Summary, load: Load, todo: str) -> None:
    text = printed(replace(failed(summary, 2), load=load))
    assert text.startswith(f"2 of 4 trials failed for the machine's sake: {WHY}\n  next: {todo}")
    assert "Scenario" in text


def test_few_trials_that_the_machine_was_too_busy_for_are_run_again(summary: Summary) -> None:
    text = printed(replace(failed(summary, 1), load=PLANNED))
    number = next(trial.facts.number for trial in failed(summary, 1).trials if trial.facts.status == "overloaded")
    again = f"remove trials/{number} from the run's folder and run them again: migrascope run --resume {summary.run}"
    assert text.startswith(f"1 of 4 trials failed for the machine's sake: {WHY}\n  next: {again}\n")


def test_a_run_without_a_trial_says_why_in_a_sentence_and_prints_no_table(summary: Summary) -> None:
    text = printed(failed(summary, 4))
    assert f"No trial was carried out, so that there are no figures; 4 of 4 trials: overloaded: {WHY}" in text
    assert "Scenario" not in text
    assert "—" not in text
    assert "not boot" in printed(failed(summary, 4, "failed", "the guest did not boot"))
