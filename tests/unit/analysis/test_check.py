"""A run held against thresholds."""

import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tworuns import of_trials

from migrascope.analysis.check import check_run, junit
from migrascope.analysis.summary import Summary
from migrascope.cli.main import app
from migrascope.model.problem import UsageProblem
from migrascope.model.threshold import Threshold, in_unit
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import PlanError, thresholds


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
