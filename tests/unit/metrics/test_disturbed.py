"""What the checker says of a trial's disturbance: in time, late, or never."""

from typing import Any

import pytest

from migrascope.metrics.verdict.disturbed import Began, Disturbed, took_effect
from migrascope.metrics.verdict.judge import Evidence, judge
from migrascope.metrics.verdict.spans import NS, Times

TIMES = Times(10 * NS, 20 * NS)


def row(**changes: Any) -> Disturbed:
    return Disturbed("cut", "first-copy", 11 * NS, 11 * NS + 5_000_000, 13 * NS, "")._replace(**changes)


def test_an_undisturbed_trial_says_nothing_of_disturbances() -> None:
    assert took_effect("none", [], TIMES) == []


def test_one_that_took_effect_in_time_says_when() -> None:
    (said,) = took_effect("cut", [row()], TIMES)
    assert said.verdict == "intact"
    assert (said.from_s, said.until_s) == pytest.approx((1.005, 3.0))
    assert "5.0 ms after first-copy was due" in said.text


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "nothing was recorded"),
        ([row(name="other")], "nothing was recorded"),
        ([row(effect_ns=0, note="first-copy never came")], "did not take effect; first-copy never came"),
        ([row(effect_ns=11 * NS + 20_100_000)], "missed, more than 20 ms late"),
    ],
)
def test_one_that_did_not_is_unknown(rows: list[Disturbed], words: str) -> None:
    (said,) = took_effect("cut", rows, TIMES)
    assert said.verdict == "unknown"
    assert words in said.text


def test_another_lab_has_another_limit_and_says_the_phase() -> None:
    began = [Began(11 * NS, "first-copy"), Began(11 * NS + 300_000_000, "switchover"), Began(12 * NS, "finish")]
    (said,) = took_effect("cut", [row(effect_ns=11 * NS + 400_000_000)], TIMES, 1.0, began)
    assert said.verdict == "intact"
    assert said.text.endswith("400.0 ms after first-copy was due, in switchover")
    (said,) = took_effect("cut", [row(effect_ns=12 * NS + 100_000_000)], TIMES, 1.0, began)
    assert said.verdict == "unknown"
    assert "in finish: missed, more than 1000 ms late" in said.text


def test_a_trial_that_missed_its_disturbance_is_not_intact() -> None:
    judgement = judge(Evidence(TIMES, 3.0, disturbance="cut"))
    assert judgement.verdict == "unknown"
    assert judgement.text.endswith("; not disturbed as planned")
    assert "disturbance" not in judgement.text.removesuffix("not disturbed as planned")
