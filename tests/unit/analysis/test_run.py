"""Cells, the limit, findings and the public JSON, over runs of the fake lab and over made-up results."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faketrial import FACTORS, SCRIPT, light
from judged import result, said
from publickeys import PUBLIC

from fakerun import fake_run
from migrascope.analysis.cells import summarise
from migrascope.analysis.export import summary_json
from migrascope.analysis.limit import Decided, limit_text, limited, undecided_limits
from migrascope.analysis.meter_error import meter_error
from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.analysis.statistics import statistic
from migrascope.analysis.summary import Summary
from migrascope.lab.fake.script import Script, default_script
from migrascope.model.axes import Scenario
from migrascope.model.calibration import Calibration, Condition
from migrascope.model.load import Load
from migrascope.model.measured import Measured, missing
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec
from migrascope.model.verdict import Judgement, Verdict
from migrascope.store.atomic import write_json
from migrascope.store.runfolder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The default plan on the fake lab, with one trial that failed."""

    def scripts(spec: TrialSpec) -> Script:
        script = default_script(spec, 1)
        return replace(script, failure="destination-died") if spec.number == 5 else script

    plan = light(visitors={"new_rate": 10, "kept_rate": 10, "viewers": 1})
    return fake_run(tmp_path_factory.mktemp("run"), plan, scripts)


@pytest.fixture(scope="module")
def summary(run: RunFolder) -> Summary:
    return analyse(run)


def test_cells_count_all_and_their_statistics_leave_the_failed_out(summary: Summary) -> None:
    assert [cell.factors.scenario for cell in summary.cells] == ["none", "offline", "online", "relay"]
    assert [cell.trials for cell in summary.cells] == [6] * 4
    failed = next(trial.facts for trial in summary.trials if trial.facts.number == 5)
    for cell in summary.cells:
        bad = cell.factors == failed.factors
        assert cell.failed == (1 if bad else 0)
        time_s = cell.metrics["migration_time_s"]
        assert time_s.n == (5 if bad else 6)
        assert (time_s.low is None) == bad
        assert time_s.min is not None
        assert time_s.max is not None
        assert time_s.median is not None
        assert time_s.min < time_s.median < time_s.max
        if not bad:
            assert (time_s.low, time_s.high, time_s.coverage) == (time_s.min, time_s.max, 0.96875)
        else:
            assert cell.failures == ["trial 5: failed: the QEMU on the destination ended in pre-copy"]


def test_a_cells_counted_trials_are_those_of_its_statistics(summary: Summary) -> None:
    counted = {cell.factors: [trial.facts for trial in summary.counted(cell.factors)] for cell in summary.cells}
    assert [len(facts) for facts in counted.values()] == [cell.trials - cell.failed for cell in summary.cells]
    for factors, facts in counted.items():
        assert all(fact.factors == factors and fact.status == "ok" for fact in facts)
        assert [fact.number for fact in facts] == sorted(fact.number for fact in facts)


def test_the_public_json_has_every_key_and_reads_back(summary: Summary) -> None:
    public = json.loads(json.dumps(summary_json(summary), allow_nan=False))
    assert {"schema", "lab", "accelerator", "qemu", "cells"} <= set(public)
    assert (public["lab"], public["accelerator"], public["qemu"]) == ("fake", "none", "none")
    for cell in public["cells"]:
        assert {
            "scenario",
            "policy",
            "memory_bytes",
            "link_bps",
            "downtime_limit_s",
            "cache",
            "disturbance",
            "instances",
        } <= set(cell["factors"])
        assert set(PUBLIC) <= set(cell["metrics"])
        unmeasured = [key for key in PUBLIC if cell["metrics"][key]["median"] is None]
        assert unmeasured == (["player_stall_s"] if cell["factors"]["scenario"] == "none" else [])
        for measured in cell["metrics"].values():
            assert set(measured) - {"reason", "at_least"} == {
                "median",
                "low",
                "high",
                "coverage",
                "min",
                "max",
                "n",
                "unit",
                "source",
                "censored",
            }
            assert ("reason" in measured) == (measured["median"] is None)


def test_a_run_is_recomputed_to_the_same_numbers(run: RunFolder, summary: Summary) -> None:
    assert summary_json(analyse(run)) == summary_json(summary)


ROW: dict[str, Any] = {
    "load": "loaded",
    "added_rtt_s": 0.0,
    "layer": "network",
    "truth": "cut",
    "nominal_s": None,
    "truth_s": 0.3,
    "truth_bound_s": 0.0001,
    "bias_s": 0.0002,
    "abs_error_median_s": 0.0003,
    "abs_error_p95_s": 0.002,
    "n": 70,
}
ROWS = [ROW, ROW | {"load": "idle"}, ROW | {"added_rtt_s": 0.05}]
HAD = light(visitors={"new_rate": 10, "kept_rate": 10, "viewers": 1}).full_load()
RATE = light().probes.echo_rate


def test_calibration_is_read_from_the_run(run: RunFolder) -> None:
    """Only what was made under a load like the run's is quoted."""
    path = run.path / "calibration.json"
    write_json(path, {"rows": ROWS, "load": replace(HAD, new_rate=14.0).as_json(), "echo_rate": RATE})
    try:
        seen = analyse(run)
    finally:
        path.unlink()
    assert seen.calibration is not None
    assert [row["quoted"] for row in seen.calibration] == [True, False, False]
    (accuracy,) = [finding for finding in seen.findings if finding.topic == "accuracy"]
    assert accuracy.verdict == "pass"
    assert "under a load like this run's" in accuracy.text
    assert "300 µs" in accuracy.text
    assert "2.00 ms" in accuracy.text


@pytest.mark.parametrize(
    ("load", "echo_rate"),
    [
        (replace(HAD, new_rate=16.0), RATE),
        (replace(HAD, kept_rate=6.0), RATE),
        (replace(HAD, viewers=2), RATE),
        (HAD, 2 * RATE),
        (HAD, None),
        (None, RATE),
    ],
)
def test_a_calibration_under_another_load_is_not_quoted(load: Load | None, echo_rate: float | None) -> None:
    made = Calibration(ROWS, load, echo_rate)
    assert not any(row["quoted"] for row in made.quoted(HAD, RATE))
    accuracy = meter_error(made, HAD, RATE)
    assert accuracy.verdict == "unknown"
    assert "not known under a load like this run's" in accuracy.text


def test_a_calibration_while_nobody_visits_is_quoted_where_nobody_does() -> None:
    quiet = replace(light().full_load(), new_rate=0.0, kept_rate=0.0, viewers=0)
    made = Calibration([], light().full_load(), 500.0)
    assert made.condition_of(quiet, 500.0) == Condition()
    assert made.condition_of(replace(quiet, viewers=2, scenario="none"), 500.0) == Condition()
    assert made.condition_of(replace(quiet, viewers=3), 500.0) is None


@pytest.mark.parametrize("load", [{}, 7, {"schema": 1}, {"schema": 99}])
def test_a_calibration_with_another_load_is_damaged(load: object) -> None:
    with pytest.raises(ValueError):
        Calibration.of({"rows": [], "load": load})


def test_an_empty_run_is_summarised_too(tmp_path: Path) -> None:
    run = fake_run(tmp_path, light(blocks=1, axes={"scenario": ["none"]}))
    summary = summarise(run.manifest, Plan().base_units(), [], None)
    assert summary.cells == []
    assert {finding.verdict for finding in summary.findings} == {"unknown"}


def test_a_statistic_of_nothing_says_why() -> None:
    seen = statistic(
        [missing("s", "echo", "no echo probes"), missing("s", "echo", "no echo probes"), missing("s", "x", "y")]
    )
    assert (seen.median, seen.n, seen.reason, seen.unit) == (None, 0, "no echo probes", "s")
    assert statistic([]).reason == "every trial failed"
    mixed = statistic([missing("s", "echo", "no"), Measured(2.0, "s", "echo")])
    assert (mixed.median, mixed.n, mixed.reason) == (2.0, 1, None)


@pytest.mark.parametrize(("reported", "bound"), [(0.2099, False), (0.2101, True), (None, None)])
def test_the_limit_binds_over_seven_tenths_of_it(reported: float | None, bound: bool | None) -> None:
    measured = Measured(reported, "s", "x") if reported else missing("s", "x", "not reported")
    assert limited({"reported_downtime_s": measured, "set_downtime_limit_s": Measured(0.3, "s", "x")}) is bound


@pytest.mark.parametrize(
    ("limit_s", "raised", "bound"),
    [(0.15, False, True), (0.3, False, False), (0.15, True, None), (0.3, True, False), (None, False, None)],
)
def test_what_counts_is_the_limit_that_was_set(limit_s: float | None, raised: bool, bound: bool | None) -> None:
    """160 ms under a limit of 150, whatever the plan says; one that may have been raised since it was read proves
    nothing unless it clears the trial."""
    limit = Measured(limit_s, "s", "x", at_least=raised) if limit_s else missing("s", "x", "QEMU did not say")
    assert limited({"reported_downtime_s": Measured(0.16, "s", "x"), "set_downtime_limit_s": limit}) is bound


def test_a_limit_that_was_set_otherwise_is_named() -> None:
    set_low = [result(at, at, set_downtime_limit_s=0.15, reported_downtime_s=0.16) for at in range(1, 7)]
    (limit,) = said(set_low, "limit")
    assert limit.verdict == "fail"
    assert "limit of 300 ms (set at the switchover: 150 ms) decided in 6 of 6 trials" in limit.text


def test_nine_unknown_of_ten_are_no_limit_that_did_not_decide() -> None:
    unknown = [replace(result(at, at), limited=None) for at in range(2, 11)]
    (limit,) = said([result(1), *unknown], "limit")
    assert limit.verdict == "unknown"
    assert "in any trial" not in limit.text
    assert "Of 9 more it is not known" in limit.text
    assert Decided.among([result(1), *unknown]) == Decided(0, 9, 10)
    assert Decided.among([result(1), *unknown]).words == "the downtime limit decided in 0 of 10 trials, not known in 9"


def test_a_limit_of_ten_seconds_is_called_what_it_is() -> None:
    assert limit_text(10.0) == "10 s (stop-and-copy)"
    assert limit_text(0.3) == "300 ms"


def rising(n: int) -> list[TrialResult]:
    return [
        result(at, at, data_transferred_bytes=1e8 * at, migration_time_s=0.9 * at, vm_pause_s=0.01 * at)
        for at in range(1, n + 1)
    ]


SIZES = (0, 128, 256, 512)
SCENARIOS: tuple[Scenario, ...] = ("none", "relay")


def in_doses(limit_s: float = 0.3, **slopes: float) -> list[TrialResult]:
    """Two trials of each of four doses in two scenarios; figures in seconds for each MB, and a little that scatters."""
    found = []
    for at, (scenario, size) in enumerate(itertools.product(SCENARIOS, SIZES)):
        factors = replace(FACTORS, scenario=scenario, resident_bytes=size * 2**20, downtime_limit_s=limit_s)
        for block in (1, 2):
            data = 100.0 + size + (20.0 if scenario == "relay" else 0.0)
            values: dict[str, Any] = {key: 10 + each * data + 0.001 * (at * 7 % 8) for key, each in slopes.items()}
            found.append(result(2 * at + block, block, factors, data_transferred_bytes=1e6 * data, **values))
    return found


def test_more_data_more_time_is_said_when_shown() -> None:
    (time_finding,) = said(in_doses(migration_time_s=0.009), "data-time")
    assert time_finding.verdict == "pass"
    assert time_finding.text.startswith("More data, more time: each further 100 MB took 90")
    assert time_finding.evidence["n"] == 16
    assert time_finding.evidence["low"] < 0.009e-6 < time_finding.evidence["high"]


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ([{"scenario": "none"}], "nothing that the guest carries was varied"),
        ([{"scenario": "none"}, {"scenario": "relay"}], "not set but followed from 2 kinds of guest: 2 clusters"),
        ([{"write_Bps": 1e6}, {"write_Bps": 2e6}, {"vcpus": 2}], "not set but followed from 3 kinds of guest"),
        ([{"resident_bytes": 0}, {"resident_bytes": 1}, {"resident_bytes": 2}], "6 permutations of the doses"),
        ([{"cache": "cold"}, {"cache": "warm"}], "set through the page cache alone, in 2 clusters"),
        (
            [{"scenario": scenario, "resident_bytes": size} for scenario in ("none", "relay") for size in (0, 1, 2)],
            "36 permutations of the doses, 40 are needed",
        ),
    ],
)
def test_what_cannot_carry_a_conclusion_says_why_and_what_would(levels: list[dict[str, Any]], says: str) -> None:
    trials = [
        replace(trial, facts=replace(trial.facts, factors=replace(FACTORS, **levels[at % len(levels)])))
        for at, trial in enumerate(rising(12))
    ]
    time, *downtimes = (*said(trials, "data-time"), *said(trials, "data-downtime"))
    assert "four doses in each of two scenarios, or five in one" in time.text
    for finding in (time, *downtimes):
        assert finding.verdict == "unknown"
        assert finding.text.startswith("Nothing can be concluded")
        assert says in finding.text


def test_and_the_contrary_when_that_is_shown() -> None:
    assert said(in_doses(migration_time_s=-0.009), "data-time")[0].verdict == "fail"


def test_and_nothing_when_nothing_is_shown() -> None:
    finding = said(in_doses(migration_time_s=0.0), "data-time")[0]
    assert finding.verdict == "unknown"
    assert "not shown" in finding.text
    assert "95 % interval" in finding.text


def test_one_trial_of_each_concludes_nothing(tmp_path: Path) -> None:
    summary = analyse(fake_run(tmp_path, light(blocks=1)))
    for topic in ("data-time", "data-downtime", "scenario"):
        found = [item for item in summary.findings if item.topic == topic]
        assert found
        for finding in found:
            assert finding.verdict == "unknown"
            assert finding.text.startswith("Nothing can be concluded")
    assert all(value.low is None for cell in summary.cells for value in cell.metrics.values())


def test_trials_that_the_limit_decided_are_not_pooled_with_the_others() -> None:
    bound = [
        result(
            20 + trial.facts.number, trial.facts.block, trial.facts.factors, vm_pause_s=0.3, reported_downtime_s=0.29
        )
        for trial in in_doses(0.31)
    ]
    free = in_doses(vm_pause_s=0.009)
    both = [*free, *bound]
    assert {trial.facts.number for trial in undecided_limits(both)} == set(range(1, 17))
    spared = [replace(trial, facts=replace(trial.facts, factors=FACTORS)) for trial in bound]
    assert undecided_limits([*free, *spared]) == [], "those that it spared are chosen by their outcome"
    pause = next(finding for finding in said(both, "data-downtime") if finding.evidence["metric"] == "vm_pause_s")
    alone = next(finding for finding in said(free, "data-downtime") if finding.evidence["metric"] == "vm_pause_s")
    assert pause.evidence == alone.evidence
    assert "downtime limit 300 ms: it decided in none" in pause.text
    assert "16 trials under limits that decided in some" in pause.text
    limit = said(both, "limit")[1]
    assert limit.verdict == "fail"
    assert limit.evidence == {"downtime_limit_s": 0.31, "limited": 16, "n": 16, "of": 16}
    assert "did not decide" in said(free, "limit")[0].text


def test_a_trial_whose_downtime_is_unknown_is_not_pooled_either() -> None:
    unknown = replace(result(1), limited=None)
    assert undecided_limits([unknown]) == []


def test_trials_over_different_links_are_not_held_together() -> None:
    fast = in_doses(migration_time_s=0.009)
    slow = [
        replace(trial, facts=replace(trial.facts, factors=replace(trial.facts.factors, link_bps=1e8)))
        for trial in in_doses(migration_time_s=0.09)
    ]
    found = said([*fast, *slow], "data-time")
    assert len(found) == 2
    assert {finding.evidence["n"] for finding in found} == {16}
    assert sorted(round(1e6 * finding.evidence["slope"], 3) for finding in found) == [0.009, 0.09]


def test_cells_of_a_second_part_do_not_take_the_scenarios_sentences() -> None:
    blocks = [
        result(10 * block + at, block, replace(FACTORS, scenario=name), migration_time_s=1.0 + at + 0.01 * block)
        for block in range(1, 7)
        for at, name in enumerate(SCENARIOS)
    ]
    found = said([*blocks, *in_doses(100.0)], "scenario")
    assert found[0].text.startswith("relay against none, paired within 6 blocks")
    assert [finding.text for finding in found[1:]] == [
        "Nothing can be concluded on 4 of 5 comparisons of scenarios with none: fewer than 6 pairs within blocks."
    ]


def test_scenarios_are_compared_within_blocks() -> None:
    """The blocks differ by far more than the scenarios: only the pairing shows it."""
    trials = []
    for block in range(1, 7):
        trials.append(result(2 * block, block, replace(FACTORS, scenario="none"), migration_time_s=10.0 * block))
        trials.append(result(2 * block + 1, block, migration_time_s=10.0 * block + 1 + 0.01 * block))
    (finding,) = said(trials, "scenario")
    assert finding.verdict == "pass"
    assert finding.evidence["migration_time_s"]["n"] == 6
    assert "1.04 s more migration time (1.01 s to 1.06 s)" in finding.text
    assert "Not shown to differ: data, VM pause, network blackout" in finding.text


@pytest.mark.parametrize(
    ("verdicts", "expected", "says"),
    [
        (("intact",), "pass", "Intact in the trial"),
        (("intact", "intact"), "pass", "Intact in all 2 trials"),
        (("intact", "unknown"), "unknown", "Unknown in one trial, intact in one trial. trial 2: because of 2"),
        (
            ("unknown", "guest lost", "intact"),
            "fail",
            "Guest lost in one trial, unknown in one trial, intact in one trial",
        ),
        (("intact", "guest lost", "two copies"), "fail", "trial 3: because of 3; trial 2: because of 2"),
        ((), "unknown", "No trial"),
    ],
)
def test_the_worst_verdicts_are_told_with_what_they_rest_on(
    verdicts: tuple[Verdict, ...], expected: str, says: str
) -> None:
    judged = [
        replace(result(at), judgement=Judgement(verdict, f"because of {at}")) for at, verdict in enumerate(verdicts, 1)
    ]
    (finding,) = said(judged, "verdict")
    assert finding.verdict == expected
    assert says in finding.text
    assert sum(finding.evidence.values()) == len(verdicts)


def test_trials_with_one_reason_are_told_together() -> None:
    judged = [replace(result(at), judgement=Judgement("unknown", "not known: frames")) for at in (1, 2, 3, 7)]
    (finding,) = said(judged, "verdict")
    assert finding.text == "Unknown in 4 trials. trial 1-3, 7: not known: frames."


def test_failures_and_warnings_are_told() -> None:
    noisy = [replace(result(at), warnings=[f"warning {'abcdefgh'[at - 1]}"]) for at in range(1, 9)]
    texts = [finding.text for finding in said([*noisy, result(9, status="failed")], "warning")]
    assert texts[0].startswith("1 of 9 trials failed")
    assert "trial 9: QEMU ended" in texts[0]
    assert texts[1] == "Trial 1: warning a."
    assert texts[-1] == "3 more kinds of warnings are with their trials."


def test_warnings_of_a_kind_are_one_sentence_with_the_worst() -> None:
    slept = ["up to 8.73 ms late (p99 307 µs)", "up to 1.2 s late (p99 9 ms)", "up to 900 µs late (p99 10 µs)"]
    results = [replace(result(at), warnings=[f"the prober slept: {words}"]) for at, words in enumerate(slept, start=1)]
    results.append(replace(result(4), warnings=["the hypervisor took 2.05 %", "the hypervisor took 3 %"]))
    texts = [finding.text for finding in said([*results, result(5)], "warning")]
    assert texts == [
        "The prober slept: up to 1.2 s late (p99 9 ms) (in 3 of 5 trials; at worst, in trial 2).",
        "Trial 4: the hypervisor took 3 %.",
    ]


@pytest.mark.parametrize(("accelerator", "word"), [("tcg", "emulated"), ("none", "fake")])
def test_the_environment_is_told_where_it_matters(accelerator: str, word: str) -> None:
    (finding,) = said([], "environment", accelerator=accelerator)
    assert word in finding.text
    assert said([], "environment", accelerator="kvm") == []


def test_script_truths_reach_the_cells(tmp_path: Path) -> None:
    plan = light(blocks=6, axes={"scenario": ["relay"]})
    run = fake_run(tmp_path, plan, lambda spec: replace(SCRIPT, pause_s=0.1 + 0.01 * spec.number, gap_s=0.26))
    (cell,) = analyse(run).cells
    pause = cell.metrics["vm_pause_s"]
    assert pause.median == pytest.approx(0.135, abs=1e-5)
    assert pause.low == pytest.approx(0.11, abs=1e-5)
    assert pause.high == pytest.approx(0.16, abs=1e-5)
