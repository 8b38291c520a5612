"""What many trials say where some were cut off: these keep their rank, and never make anything look better."""

import io
import json
import math
from dataclasses import replace

import pytest
from faketrial import in_blocks, light
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fakerun import fake_run
from migrascope.analysis.cells import summarise
from migrascope.analysis.check import check_run
from migrascope.analysis.compare import as_json, compare
from migrascope.analysis.export import summary_json
from migrascope.analysis.run import analyse
from migrascope.analysis.statistics import (
    Bounds,
    Interval,
    median_difference,
    median_interval,
    paired_difference,
    statistic,
)
from migrascope.analysis.summary import Summary
from migrascope.model.measured import Measured, missing
from migrascope.model.threshold import Threshold
from migrascope.report.export import csv
from migrascope.report.page import doses, sections
from migrascope.report.terminal import run_table

KEY = "network_blackout_s"
NEVER = Bounds(4.2, math.inf)


def seconds(value: float, *, at_least: bool = False) -> Measured:
    return Measured(value, "s", "echo", at_least=at_least)


SIX_AND_SIX = [*(seconds(0.1 + 0.001 * at) for at in range(6)), *(seconds(4.2, at_least=True) for _ in range(6))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    half = {"name": "half", "kind": "link-rate", "target": "storage", "rate": "100mbit"}
    plan = light(blocks=1, axes={"scenario": ["none"], "disturbance": ["none", "half"]}, disturbance=[half])
    return in_blocks(analyse(fake_run(tmp_path_factory.mktemp("run"), plan)), 12)


def with_values(run: Summary, measured: list[Measured], disturbance: str = "none") -> Summary:
    """The run with the blackouts of the trials of a disturbance set, by their order."""
    chosen = [trial for trial in run.trials if trial.facts.factors.disturbance == disturbance]
    values = {trial.facts.number: item for trial, item in zip(chosen, measured, strict=True)}
    trials = [
        replace(trial, metrics=trial.metrics | {KEY: values.get(trial.facts.number, trial.metrics[KEY])})
        for trial in run.trials
    ]
    return summarise(run.environment, run.plan, trials, None)


def outcome(run: Summary, **threshold: str) -> tuple[str, str]:
    checks = [check for check in check_run(run, {KEY: Threshold.model_validate(threshold)}) if "half" not in check.cell]
    return checks[0].outcome, checks[0].text


def test_a_cell_counts_what_was_cut_off_and_its_numbers_are_lower_bounds() -> None:
    seen = statistic(SIX_AND_SIX)
    assert (seen.n, seen.censored, seen.at_least) == (12, 6, ("median", "high", "max"))
    assert (seen.high, seen.max) == (4.2, 4.2)
    assert seen.low == pytest.approx(0.102)
    assert seen.text("high", lambda value: f"{value} s") == "≥ 4.2 s"
    assert statistic(SIX_AND_SIX[:6]).at_least == ()


measured = st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=6, max_size=20)


@given(measured, st.data())
def test_what_is_not_marked_is_the_truth_and_what_is_marked_is_less(
    seen: list[tuple[float, bool]], data: st.DataObject
) -> None:
    """Whatever the truth behind what was cut off is."""
    truths = [value + (data.draw(st.floats(0, 100)) if cut_off else 0.0) for value, cut_off in seen]
    true = statistic([seconds(value) for value in truths])
    found = statistic([seconds(value, at_least=cut_off) for value, cut_off in seen])
    for name in ("median", "low", "high", "min", "max"):
        least, truth = getattr(found, name), getattr(true, name)
        assert least <= truth, name
        assert name in found.at_least or least == truth, name


def test_survivors_do_not_pass_a_check(run: Summary) -> None:
    """Twelve trials, of which six answer within 0.11 s and six never again."""
    cut_off = with_values(run, SIX_AND_SIX)
    assert outcome(cut_off, most="200ms") == ("unknown", "102 ms to ≥ 4.20 s (most 200 ms)")
    assert outcome(cut_off, most="10s")[0] == "unknown"
    assert outcome(cut_off, most="50ms")[0] == "fail"
    assert outcome(cut_off, least="50ms")[0] == "pass"
    assert outcome(with_values(run, [seconds(0.01, at_least=True)] * 12), most="1s")[0] == "unknown"
    assert outcome(with_values(run, [seconds(2.0, at_least=True)] * 12), most="1s")[0] == "fail"


def test_nor_do_those_that_were_measured_beside_others_that_were_not(run: Summary) -> None:
    some = [*(seconds(0.1) for _ in range(11)), missing("s", "echo", "nobody was asked")]
    verdict, text = outcome(with_values(run, some), most="1s")
    assert verdict == "unknown"
    assert "1 of 12 trials have no value" in text
    assert outcome(with_values(run, [seconds(0.1)] * 12), most="1s")[0] == "pass"


def test_a_difference_of_which_one_side_was_cut_off_has_a_sign_or_nothing() -> None:
    short, long = dict.fromkeys(range(6), 0.1), dict.fromkeys(range(6), 5.0)
    never = dict.fromkeys(range(6), NEVER)
    more, unsure, both = (paired_difference(never, other) for other in (short, long, never))
    assert more is not None
    assert unsure is not None
    assert both is not None
    assert more.interval is not None
    assert (more.median, more.sign(), more.interval.high) == (None, 1, math.inf)
    assert more.interval.low == pytest.approx(4.1)
    assert [(paired.median, paired.sign()) for paired in (unsure, both)] == [(None, 0), (None, 0)]
    less = paired_difference(short, never)
    assert less is not None
    assert less.sign() == -1
    one_of_many = paired_difference({**dict.fromkeys(range(9), 1.0), 9: NEVER}, dict.fromkeys(range(10), 0.5))
    assert one_of_many is not None
    assert (one_of_many.median, one_of_many.interval) == (0.5, Interval(0.5, 0.5, 0.978515625))


def test_neither_has_a_difference_of_medians() -> None:
    effect, interval = median_difference([NEVER] * 8, [0.1] * 8)
    assert effect is None
    assert interval is not None
    assert interval.low == pytest.approx(4.1)
    assert interval.high == math.inf
    assert median_difference([NEVER] * 8, [NEVER] * 8)[0] is None


@given(measured)
def test_an_interval_of_what_is_known_holds_that_of_any_truth(seen: list[tuple[float, bool]]) -> None:
    known = [Bounds(value, math.inf if cut_off else value) for value, cut_off in seen]
    found, true = median_interval(known), median_interval([value + 3.0 * cut_off for value, cut_off in seen])
    assert found is not None
    assert true is not None
    assert found.low <= true.low
    assert found.high >= true.high


def test_two_runs_of_which_one_was_cut_off(run: Summary) -> None:
    cut_off = with_values(run, [seconds(4.2, at_least=True)] * 12)
    found = compare(run, cut_off)
    difference = next(item for item in found.differences if item.key == KEY and item.cell.disturbance == "none")
    assert (difference.effect, difference.seen, difference.theirs_at_least, difference.ours_at_least) == (
        None,
        1,
        True,
        False,
    )
    twice = compare(cut_off, cut_off).differences
    both = next(item for item in twice if item.key == KEY and item.cell.disturbance == "none")
    assert (both.effect, both.seen) == (None, 0)
    assert both.reason == "not even the sign is known: values were cut off"
    json.dumps(as_json([found]), allow_nan=False)


def test_a_dose_that_was_cut_off_is_more_by_an_unknown_amount(run: Summary) -> None:
    cut_off = with_values(run, [seconds(4.2, at_least=True)] * 12, "half")
    shows = doses.table(cut_off)
    assert shows is not None
    place = shows["heads"].index("Network blackout [ms]")
    median, interval = shows["rows"][1][place]
    assert median == "—"
    assert interval.startswith("≥ +")
    series = cut_off.doses[0]
    assert "cut off" in {row["what"] for row in doses._points(series, "x", doses.DRAWN[2], cut_off)}
    said = next(
        finding for finding in cut_off.findings if finding.topic == "dose" and "more network blackout" in finding.text
    )
    assert "more network blackout (at least " in said.text
    json.dumps(summary_json(cut_off), allow_nan=False)


def test_data_is_not_held_against_downtimes_that_were_cut_off(run: Summary) -> None:
    alone = [trial for trial in with_values(run, SIX_AND_SIX).trials if trial.facts.factors.disturbance == "none"]
    free = summarise(run.environment, run.plan, [replace(trial, limited=False) for trial in alone], None)
    said = [finding for finding in free.findings if finding.topic == "data-downtime"]
    assert any("it was cut off" in finding.text and finding.verdict == "unknown" for finding in said)


def test_a_policy_that_was_cut_off_beats_none(run: Summary) -> None:
    def policy(name: str, outage: Measured) -> Summary:
        trials = [
            replace(trial, facts=replace(trial.facts, factors=replace(trial.facts.factors, policy=name)),
                    metrics=trial.metrics | {"network_outage_total_s": outage, "migration_time_s": seconds(1.0)})
            for trial in run.trials if trial.facts.factors.disturbance == "none"
        ]  # fmt: skip
        return replace(run, trials=trials)

    trials = [*policy("one", seconds(0.05, at_least=True)).trials, *policy("other", seconds(0.3)).trials]
    front = {cost.cell.factors.policy: cost.front for cost in summarise({}, run.plan, trials, None).policies}
    assert front == {"one": False, "other": True}


def test_everything_that_shows_it_marks_it(run: Summary) -> None:
    cut_off = with_values(run, SIX_AND_SIX)
    cell = next(cell for cell in summary_json(cut_off)["cells"] if cell["factors"]["disturbance"] == "none")
    shown = cell["metrics"][KEY]
    assert (shown["censored"], list(shown["at_least"])) == (6, ["median", "high", "max"])
    assert "at_least" not in cell["metrics"]["vm_pause_s"]
    assert cell["metrics"]["vm_pause_s"]["censored"] == 0
    out = io.StringIO()
    run_table.show(cut_off, Console(file=out, width=400))
    assert "(102–≥ 4200)" in out.getvalue()
    texts = {name: text for name, (_, text) in csv.tables(cut_off).items()}
    assert KEY in texts["trials.csv"]
    assert "median high max" in texts["cells.csv"]
    every = sections.every(cut_off, ["scenario", "disturbance"])
    row = next(row for record in every for row in record["rows"] if row[0] == KEY and "≥ 2.15 s" in row)
    assert row[3:6] == ("≥ 4.20 s", "100 ms", "≥ 4.20 s")
    last = max((trial for trial in cut_off.trials if trial.metrics[KEY].at_least), key=lambda item: item.facts.number)
    assert "≥ 4200" in sections.trial(last, ["scenario"], None)["values"]
