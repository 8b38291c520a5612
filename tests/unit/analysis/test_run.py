"""Cells, the limit, findings and the public JSON, over runs of the fake lab and over made-up results."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faketrial import SCRIPT, light
from judged import result, said
from publickeys import PUBLIC

from fakerun import fake_run
from migrascope.analysis.cells import summarise
from migrascope.analysis.export import summary_json
from migrascope.analysis.limit import Decided, limit_text, limited
from migrascope.analysis.meter_error import meter_error
from migrascope.analysis.run import analyse
from migrascope.analysis.statistics import statistic
from migrascope.analysis.summary import Summary
from migrascope.lab.fake.script import Script, default_script
from migrascope.model.calibration import Calibration, Condition
from migrascope.model.load import Load
from migrascope.model.measured import Measured, missing
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec
from migrascope.store.atomic import write_json
from migrascope.store.runfolder import RunFolder

VISITORS = {"new_rate": 10, "kept_rate": 10, "viewers": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two scenarios on the fake lab, with one trial that failed."""

    def scripts(spec: TrialSpec) -> Script:
        script = default_script(spec, 1)
        return replace(script, failure="destination-died") if spec.number == 5 else script

    plan = light(axes={"scenario": ["none", "relay"]}, visitors=VISITORS)
    return fake_run(tmp_path_factory.mktemp("run"), plan, scripts)


@pytest.fixture(scope="module")
def summary(run: RunFolder) -> Summary:
    return analyse(run)


def test_cells_count_all_and_their_statistics_leave_the_failed_out(summary: Summary) -> None:
    assert [cell.factors.scenario for cell in summary.cells] == ["none", "relay"]
    assert [cell.trials for cell in summary.cells] == [6] * 2
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
HAD = light(visitors=VISITORS).full_load()
RATE = light().probes.echo_rate


def test_calibration_is_read_from_the_run(tmp_path: Path) -> None:
    """Only what was made under a load like the run's is quoted."""
    run = fake_run(tmp_path, light(blocks=1, axes={"scenario": ["none"]}, visitors=VISITORS))
    made = {"rows": ROWS, "load": replace(HAD, new_rate=14.0).as_json(), "echo_rate": RATE}
    write_json(run.path / "calibration.json", made)
    seen = analyse(run)
    assert seen.calibration is not None
    assert [row["quoted"] for row in seen.calibration] == [True, False, False]
    (accuracy,) = [finding for finding in seen.findings if finding.topic == "accuracy"]
    assert accuracy.verdict == "pass"
    assert "under a load like this run's" in accuracy.text
    assert "300 µs" in accuracy.text
    assert "2.00 ms" in accuracy.text


def test_what_was_measured_over_both_families_is_quoted_of_a_run_with_both(tmp_path: Path) -> None:
    plan = light(blocks=1, families=["ipv4", "ipv6"], axes={"scenario": ["none"]}, visitors=VISITORS)
    run = fake_run(tmp_path, plan)
    made = {"rows": ROWS, "load": HAD.over(2).as_json(), "echo_rate": 2 * RATE}
    write_json(run.path / "calibration.json", made)
    seen = analyse(run)
    assert seen.calibration is not None
    assert [row["quoted"] for row in seen.calibration] == [True, False, False]


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


def test_one_trial_of_each_concludes_nothing(tmp_path: Path) -> None:
    summary = analyse(fake_run(tmp_path, light(blocks=1)))
    for topic in ("data-time", "data-downtime", "scenario"):
        found = [item for item in summary.findings if item.topic == topic]
        assert found
        for finding in found:
            assert finding.verdict == "unknown"
            assert finding.text.startswith("Nothing can be concluded")
    assert all(value.low is None for cell in summary.cells for value in cell.metrics.values())


def test_script_truths_reach_the_cells(tmp_path: Path) -> None:
    plan = light(blocks=6, axes={"scenario": ["relay"]})
    run = fake_run(tmp_path, plan, lambda spec: replace(SCRIPT, pause_s=0.1 + 0.01 * spec.number, gap_s=0.26))
    (cell,) = analyse(run).cells
    pause = cell.metrics["vm_pause_s"]
    assert pause.median == pytest.approx(0.135, abs=1e-5)
    assert pause.low == pytest.approx(0.11, abs=1e-5)
    assert pause.high == pytest.approx(0.16, abs=1e-5)
