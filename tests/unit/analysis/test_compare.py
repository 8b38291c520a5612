"""Runs against one another, against thresholds, and written out for others."""

import csv
import io
import json
import resource
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
import scipy.stats
from cloudtrial import record_run
from faketrial import SCRIPT, light
from rich.console import Console

from fakerun import fake_run
from migrascope.analysis.cells import summarise
from migrascope.analysis.check import check_run, junit
from migrascope.analysis.compare import LAYERS, NotComparable, as_json, compare
from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.cli.main import app
from migrascope.lab.fake.script import Script
from migrascope.metrics.catalogue import metric_of
from migrascope.model.measured import Measured
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, UsageProblem
from migrascope.model.schedule import Factors, TrialSpec
from migrascope.model.threshold import Threshold, in_unit
from migrascope.report.build import in_time
from migrascope.report.charts import one_trial
from migrascope.report.charts.figures import figures
from migrascope.report.export.dictionary import CELL, FACTORS, TRIAL, dictionary
from migrascope.report.export.export import export
from migrascope.report.terminal.comparison import show
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import PlanError, thresholds

AXES = {"scenario": ["none"]}


def plan(blocks: int = 6, **axes: Any) -> Plan:
    return light(blocks=blocks, axes=AXES | axes)


def scripts(pause_s: float) -> Any:
    """Trials that pause so long, and some milliseconds more in each block."""

    def script(spec: TrialSpec) -> Script:
        pause = pause_s + 0.01 * spec.block
        return replace(SCRIPT, pause_s=pause, gap_s=pause + 0.05, lost_s=pause, reported_downtime_s=round(pause, 3))

    return script


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(tmp_path_factory.mktemp("short"), plan(), scripts(0.2))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(tmp_path_factory.mktemp("long"), plan(policy=["xbzrle"]), scripts(0.3))


@pytest.fixture(scope="module")
def ours(short: RunFolder) -> Summary:
    return analyse(short)


@pytest.fixture(scope="module")
def theirs(long: RunFolder) -> Summary:
    return analyse(long)


def of_trials(run: Summary, trials: list[TrialResult]) -> Summary:
    """The run with these trials instead of its own."""
    return summarise(run.environment, run.plan | {"blocks": len(trials)}, trials, None)


def test_what_differs_is_said_and_what_does_not(ours: Summary, theirs: Summary) -> None:
    found = compare(ours, theirs)
    assert found.facts == {"policy": ("pre-copy", "xbzrle")}
    by_key = {difference.key: difference for difference in found.differences}
    pause, data = by_key["vm_pause_s"], by_key["data_transferred_bytes"]
    assert (pause.n, pause.seen) == (6, 1)
    assert pause.effect == pytest.approx(0.1, abs=0.002)
    assert pause.p == pytest.approx(2 / 924)
    assert pause.interval is not None
    assert pause.interval.low == pytest.approx(0.05, abs=0.002)
    assert data.seen == 0


def test_programs_are_told_the_family_and_where_the_limit_decided(ours: Summary, theirs: Summary) -> None:
    found = compare(ours, theirs)
    (public,) = json.loads(json.dumps(as_json([found])))["comparisons"]
    told = [difference for difference in public["differences"] if difference["p"] is not None]
    assert public["differences"][0]["layer"] == "hypervisor"
    assert public["family"]["comparisons"] == len(told) > 5
    assert "Benjamini-Hochberg" in public["family"]["method"]
    assert all(item["p_of_family"] >= item["p"] for item in told)
    (limits,) = public["limit_decided"]
    assert limits["cell"]["scenario"] == "none"
    assert (limits["ours"]["of"], limits["theirs"]["of"]) == (6, 6)
    assert limits["theirs"]["limit_decided"] == 6, "from 310 ms on, under a limit of 300"


def test_a_comparison_is_printed_whole(short: RunFolder, long: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert app(["compare", str(short.path), str(long.path)], result_action="return_value") == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "differs: policy: pre-copy, then xbzrle" in lines
    assert "then: the downtime limit decided in 6 of 6 trials, which are in" in lines
    pause = next(line for line in lines if "vm_pause_s" in line)
    assert pause.split("  ")[0] == "hypervisor"
    assert pause.endswith("more")
    told = " ".join(out.split())
    assert "comparisons: a difference is seen where its interval has one sign and a rank test holds among all" in told


def test_below_six_trials_on_a_side_no_difference_is_told(ours: Summary, theirs: Summary) -> None:
    other = of_trials(theirs, theirs.trials[:5])
    first = theirs.trials[0]
    seven = of_trials(theirs, [*theirs.trials, replace(first, facts=replace(first.facts, number=7, block=7))])
    five = {difference.key: difference for difference in compare(ours, other).differences}["vm_pause_s"]
    assert (five.seen, five.p, five.reason) == (0, None, "5 trials, 6 are needed")
    assert compare(ours, other).comparisons == 0
    assert {difference.key: difference for difference in compare(ours, seven).differences}["vm_pause_s"].seen == 1


def redrawn(summary: Summary, chance: np.random.Generator, *, more: float = 0.0) -> Summary:
    """The run with every figure drawn anew, those of a layer going together; some of them larger."""
    trials = []
    for trial in summary.trials:
        drawn = {}
        for keys in LAYERS.values():
            together = chance.normal()
            for at, key in enumerate(keys):
                value = 20 + together + 0.5 * chance.normal() + (more if at == 0 else 0)
                drawn[key] = Measured(value, "s", "test")
        trials.append(replace(trial, metrics=trial.metrics | drawn))
    return replace(summary, trials=trials)


def test_two_runs_of_the_same_show_no_difference_in_nineteen_of_twenty(ours: Summary) -> None:
    chance, runs, wrong = np.random.default_rng(6), 200, 0
    for _ in range(runs):
        found = compare(redrawn(ours, chance), redrawn(ours, chance))
        wrong += any(difference.seen for difference in found.differences)
        assert found.comparisons == len(found.differences) > 12
    assert scipy.stats.binomtest(wrong, runs, 0.05, alternative="greater").pvalue > 1e-3


def test_a_difference_that_is_there_is_seen_in_six_blocks_among_all_figures(ours: Summary) -> None:
    chance = np.random.default_rng(7)
    found = compare(redrawn(ours, chance), redrawn(ours, chance, more=10.0))
    assert {difference.key for difference in found.differences if difference.seen} == {
        keys[0] for keys in LAYERS.values()
    }


def test_one_that_may_be_the_chance_of_many_comparisons_is_not_seen(
    ours: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = compare(redrawn(ours, np.random.default_rng(7)), redrawn(ours, np.random.default_rng(8), more=10.0))
    many = replace(
        comparison,
        differences=[replace(each, p_of_family=0.2 if each.apart else 1.0) for each in comparison.differences],
    )
    assert any(each.apart for each in many.differences)
    assert not any(each.seen for each in many.differences)
    show(many, Console(width=200))
    assert f"may be chance among {many.comparisons}" in capsys.readouterr().out


def test_other_machines_are_refused_with_the_facts_unless_forced(ours: Summary) -> None:
    environment = {**ours.environment, "environment": {"cpu": "another", "cores": 8, "memory_bytes": 1}}
    theirs = replace(ours, environment=environment)
    with pytest.raises(NotComparable, match=r"cpu: .* and another"):
        compare(ours, theirs)
    found = compare(ours, theirs, force=True)
    assert set(found.forced) == {"cpu", "cores", "memory_bytes"}
    assert not any(difference.seen for difference in found.differences)


def test_a_name_that_stands_for_another_thing_is_not_compared(ours: Summary) -> None:
    named = {"axes": {**ours.plan["axes"], "policy": ["late"]}}
    summary = replace(ours, plan={**ours.plan, **named, "policies": {"late": {"post_copy": {"after_round": 2}}}})
    other = replace(ours, plan={**ours.plan, **named, "policies": {"late": {"xbzrle": {"cache": 2**26}}}})
    compare(summary, summary)
    with pytest.raises(NotComparable, match=r"policy late: post_copy \{'after_round': 2\} and xbzrle"):
        compare(summary, other)
    assert "policy late" in compare(summary, other, force=True).forced
    cut = {"name": "cut", "kind": "link-down", "duration": 1.0}
    named = {"axes": {**ours.plan["axes"], "disturbance": ["cut"]}}
    summary = replace(ours, plan={**ours.plan, **named, "disturbance": [cut]})
    other = replace(ours, plan={**ours.plan, **named, "disturbance": [{**cut, "duration": 2.0}]})
    with pytest.raises(NotComparable, match=r"disturbance cut: .*duration 1\.0 and .*duration 2\.0"):
        compare(summary, other)


def test_settings_that_differ_are_said(ours: Summary) -> None:
    visitors = {**ours.plan["visitors"], "live_buffer": 9.0}
    facts = compare(ours, replace(ours, plan={**ours.plan, "visitors": visitors})).facts
    assert facts["visitors.live_buffer"] == (ours.plan["visitors"]["live_buffer"], 9.0)


def test_another_lab_on_the_same_machine_is_compared_by_layer(ours: Summary) -> None:
    theirs = replace(ours, lab="openstack", qemu="9.0")
    assert compare(ours, theirs).facts["lab"] == ("fake", "openstack")
    with pytest.raises(NotComparable, match=r"qemu: none and 9\.0"):
        compare(ours, replace(ours, qemu="9.0"))


def test_runs_without_a_common_cell_are_refused(ours: Summary, tmp_path: Path) -> None:
    other = analyse(fake_run(tmp_path, plan(blocks=1, memory=["512MiB", "2GiB"])))
    with pytest.raises(NotComparable, match="share no cell: every one has another memory_bytes"):
        compare(ours, other)


@pytest.mark.parametrize(
    ("times", "barred"),
    [({"new_rate": 1.04}, False), ({"new_rate": 0.5}, True), ({"kept_rate": 1.2}, True)],
)
def test_runs_of_another_load_are_told_apart(ours: Summary, times: dict[str, float], barred: bool) -> None:
    visitors = ours.plan["visitors"]
    plan = {**ours.plan, "visitors": {**visitors, **{key: factor * visitors[key] for key, factor in times.items()}}}
    theirs = replace(ours, run="other", plan=plan)
    if barred:
        with pytest.raises(NotComparable, match="--load-from makes a run with another's load"):
            compare(ours, theirs)
    found = compare(ours, theirs, force=True)
    assert len(found.facts) == 1
    assert bool(found.forced) == barred


def outcomes(summary: Summary, **wanted: str) -> list[str]:
    found = check_run(summary, {key: Threshold(most=text) for key, text in wanted.items()})
    return [check.outcome for check in found]


def test_thresholds_are_held_against_the_ends_of_intervals(ours: Summary) -> None:
    assert outcomes(ours, vm_pause_s="300ms") == ["pass"]
    assert outcomes(ours, vm_pause_s="230ms") == ["unknown"]
    assert outcomes(ours, vm_pause_s="200ms") == ["fail"]
    assert outcomes(ours, player_stall_s="1s") == ["unknown"]
    at_least = check_run(ours, {"vm_pause_s": Threshold(least="205ms", most="1s")})
    assert [check.outcome for check in at_least] == ["pass"]


def test_too_few_trials_and_failed_ones_are_no_pass(ours: Summary) -> None:
    assert outcomes(of_trials(ours, ours.trials[:2]), vm_pause_s="300ms") == ["unknown"]
    one_failed = replace(ours, cells=[replace(ours.cells[0], failed=1)])
    assert outcomes(one_failed, vm_pause_s="300ms") == ["unknown"]
    assert outcomes(one_failed, vm_pause_s="200ms") == ["fail"]


def test_a_figure_that_there_is_not_is_said(ours: Summary) -> None:
    with pytest.raises(UsageProblem, match=r"thresholds\.vm_paus: no figure of this name"):
        outcomes(ours, vm_paus="1s")
    with pytest.raises(UsageProblem, match="not a duration"):
        outcomes(ours, vm_pause_s="1MB")


def test_quantities_of_thresholds() -> None:
    assert in_unit("5%", "ratio") == 0.05
    assert in_unit("0.5", "ratio") == 0.5
    assert in_unit("20MB", "B") == 20e6
    assert in_unit("10mbit", "bit/s") == 1e7
    assert in_unit("3", "1") == 3


def test_junit_counts_what_it_holds(ours: Summary) -> None:
    checks = [
        check for most in ("300ms", "230ms", "200ms") for check in check_run(ours, {"vm_pause_s": Threshold(most=most)})
    ]
    suite = ElementTree.fromstring(junit("r", checks))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert [[child.tag for child in case] for case in suite] == [[], ["skipped"], ["failure"]]


@pytest.mark.parametrize(("most", "code"), [("300ms", 0), ("200ms", 1), ("230ms", 3)])
def test_check_ends_with_its_code(short: RunFolder, tmp_path: Path, most: str, code: int) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(f"[thresholds]\nvm_pause_s = {{ most = '{most}' }}\n", encoding="utf-8")
    arguments = ["check", str(short.path), "--thresholds", str(path), "--junit", str(tmp_path / "out.xml")]
    assert app(arguments, result_action="return_value") == code
    assert ElementTree.parse(tmp_path / "out.xml").getroot().tag == "testsuite"


def test_trials_that_the_plan_has_and_the_run_has_not_are_no_pass(short: RunFolder, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text("[thresholds]\nvm_pause_s = { most = '300ms' }\n", encoding="utf-8")
    run = tmp_path / "run"
    shutil.copytree(short.path, run)
    arguments = ["check", str(run), "--thresholds", str(limits), "--junit", str(tmp_path / "out.xml")]
    shutil.rmtree(run / "trials/6")
    assert app(arguments, result_action="return_value") == 3
    for trial in (run / "trials").iterdir():
        shutil.rmtree(trial)
    assert app(arguments, result_action="return_value") == 3
    (case,) = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (case.get("classname"), case.get("name")) == ("none", "trials")
    assert "0 of 6 trials were run" in str(case[0].get("message"))


def test_thresholds_are_checked_when_read(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text("[thresholds]\nvm_pause_s = { mots = '1s' }\n", encoding="utf-8")
    with pytest.raises(PlanError, match="did you mean 'most'"):
        thresholds(path)


def test_a_folder_that_others_can_use(
    short: RunFolder, ours: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrascope.report.export.export.chosen_trials", lambda summary: [2])
    folder = tmp_path / "out"
    export(short, ours, folder)
    trials = pl.read_parquet(folder / "data/trials.parquet")
    assert trials["vm_pause_s [s]"].to_list() == [trial.metrics["vm_pause_s"].value for trial in ours.trials]
    names = set(csv.DictReader(io.StringIO((folder / "data/trials.csv").read_text())).fieldnames or [])
    described = {row[0] for row in dictionary(ours)}
    assert {name.partition(" [")[0] for name in names} <= described
    for name in ("budget", "data-against-time", "data-against-pause", "trial-2-whole", "trial-2-switchover"):
        assert (folder / f"figures/{name}.svg").read_text().startswith("<svg")
        assert "var(--" not in (folder / f"figures/{name}.svg").read_text()
        assert (folder / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "STOP +" in (folder / "figures/trial-2-whole.svg").read_text()
    assert short.id in (folder / "README.md").read_text()
    for name in ("plan.toml", "manifest.json"):
        assert (folder / name).read_bytes() == (short.path / name).read_bytes()
    with pytest.raises(UsageProblem, match="not empty"):
        export(short, ours, folder)


def test_a_trial_s_figure_has_the_series_of_its_time_axis(short: RunFolder) -> None:
    line, _ = in_time(short, 1)
    spec = one_trial.axes(1, line)["whole"]
    bins = spec["datasets"]["bins"]
    assert len(bins) == len(line.whole.columns["delay_mid"])
    seen = [(row["t"], row["delay_mid"], row["loss"]) for row in bins[10:13]]
    assert seen == [
        (
            pytest.approx(line.whole.start_s + (at + 0.5) * line.whole.step_s),
            pytest.approx(1e3 * (line.whole.columns["delay_mid"][at] or 0)),
            pytest.approx(100 * (line.whole.columns["loss"][at] or 0)),
        )
        for at in range(10, 13)
    ]
    assert {"before", "during", "switchover", "after", "VM paused"} == {b["name"] for b in spec["datasets"]["bands"]}
    assert spec["datasets"]["missing"] == [{"name": "buffer", "why": "no player in this scenario"}]


def test_a_migration_on_openstack_has_its_layers_and_steps_as_figures(tmp_path: Path) -> None:
    run = record_run(tmp_path, [{}])
    seen = in_time(run, 1)[1]
    assert seen is not None
    spec = one_trial.layers(1, seen)["layers-switchover"]
    assert {row["lane"] for row in spec["data"]["values"]} == set(seen.lanes)
    summary = analyse(run)
    assert {"steps", "network-share"} <= set(figures(summary))
    assert [key for key in summary.trials[0].metrics if not metric_of(key)] == []


def test_every_column_has_a_meaning(ours: Summary) -> None:
    assert set(FACTORS) == set(vars(ours.cells[0].factors))
    assert not {*FACTORS} & {*TRIAL, *CELL}
    assert isinstance(ours.cells[0].factors, Factors)


@pytest.mark.parametrize("limit", [100, 3000])
def test_an_export_on_a_full_disk_says_so_and_leaves_nothing(
    short: RunFolder, ours: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """A limit to the size of files refuses what does not fit as a full disk does."""
    monkeypatch.setattr("migrascope.report.export.export.chosen_trials", lambda summary: [])
    monkeypatch.setattr("migrascope.report.export.export.figures", lambda summary: {})
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a module that is imported now would be cut off, too
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match=r"\.(csv|toml|json|parquet)"):
            export(short, ours, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_report_is_not_written_through_the_links_of_a_run(short: RunFolder, tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(short.path, run)
    elsewhere.mkdir()
    (elsewhere / "shadow").write_text("root")
    for name in ("report.html", "summary.json", ".report.html.part"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(elsewhere / "shadow")
    shutil.rmtree(run / "csv", ignore_errors=True)
    assert app(["report", str(run)], result_action="return_value") == 0
    shutil.rmtree(run / "csv")
    (run / "csv").symlink_to(elsewhere)
    with pytest.raises(Problem, match="csv is a link"):
        app(["report", str(run)], result_action="return_value")
    assert [file.name for file in elsewhere.iterdir()] == ["shadow"]
    assert (elsewhere / "shadow").read_text() == "root"
