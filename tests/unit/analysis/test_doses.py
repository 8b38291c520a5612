"""Dose against effect: series by load, differences to the undisturbed trials, where convergence ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faketrial import in_blocks, light

from fakerun import fake_run
from migrascope.analysis.cells import summarise
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.model.measured import Measured
from migrascope.report.page import doses

TABLES: list[dict[str, Any]] = [
    {"name": "quick", "kind": "guest-memory", "write_rate": "160MB/s", "working_set": "64MiB"},
    {"name": "calm", "kind": "guest-memory", "write_rate": "20MB/s", "working_set": "64MiB"},
    {"name": "other-set", "kind": "guest-memory", "write_rate": "20MB/s", "working_set": "32MiB"},
    {"name": "narrow", "kind": "link-rate", "target": "storage", "rate": "10mbit"},
    {"name": "wide", "kind": "link-rate", "target": "storage", "rate": "100mbit"},
    {"name": "cut", "kind": "link-down", "target": "migration", "when": "first-copy", "duration": "2s"},
]
NAMES = ["none", *(str(table["name"]) for table in TABLES)]
SLOWER_S = {"calm": 1.0, "quick": 5.0}


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Six blocks in which each dose takes so much longer than nothing."""
    axes = {"scenario": ["none"], "disturbance": NAMES}
    plan = light(blocks=1, axes=axes, disturbance=TABLES)
    seen = in_blocks(analyse(fake_run(tmp_path_factory.mktemp("run"), plan)), 6)
    trials = []
    for trial in seen.trials:
        took = 10.0 + trial.facts.block + SLOWER_S.get(trial.facts.factors.disturbance, 0.0)
        metrics = {**trial.metrics, "migration_time_s": Measured(took, "s", "test")}
        trials.append(replace(trial, metrics=metrics))
    return summarise(seen.environment, seen.plan, trials, None)


def test_doses_of_one_load_are_a_series_the_mildest_first(summary: Summary) -> None:
    found = {series.what: series for series in summary.doses if len(series.doses) > 1}
    assert {what: [dose.name for dose in series.doses] for what, series in found.items()} == {
        "guest-memory (working_set 64MiB)": ["calm", "quick"],
        "link-rate storage": ["wide", "narrow"],
    }
    alone = [series for series in summary.doses if len(series.doses) == 1]
    assert [dose.name for series in alone for dose in series.doses] == ["other-set"]


def test_a_dose_is_set_against_the_undisturbed_trial_of_its_block(summary: Summary) -> None:
    (series,) = [item for item in summary.doses if len(item.doses) > 1 and "memory" in item.what]
    for dose in series.doses:
        pair = dose.against["migration_time_s"]
        assert pair.median == pytest.approx(SLOWER_S[dose.name])
        assert (pair.n, pair.sign()) == (6, 1)
    said = [finding.text for finding in summary.findings if finding.topic == "dose"]
    assert any("quick against none, paired within 6 blocks" in text and "5.00 s more migration time" in text
               for text in said)  # fmt: skip
    assert not any("cut" in text and "more migration time" in text for text in said)


def test_data_against_time_is_no_question_of_such_a_run(summary: Summary) -> None:
    (finding,) = [item for item in summary.findings if item.topic in ("data-time", "data-downtime")]
    assert finding.text.startswith("Nothing can be concluded on data against time and downtime in 7 of 7 groups")
    order = [item.text.split(" ")[0] for item in summary.findings if " against none, paired" in item.text]
    assert order == [name for name in NAMES if name != "none"]


def with_status(summary: Summary, status: dict[str, str]) -> Summary:
    trials = [
        replace(
            trial, facts=replace(trial.facts, status=status.get(trial.facts.factors.disturbance, trial.facts.status))
        )
        for trial in summary.trials
    ]
    return summarise(summary.environment, summary.plan, trials, None)


def ends(summary: Summary) -> list[str]:
    return [finding.text for finding in summary.findings if "onverge" in finding.text and finding.topic == "dose"]


def test_where_convergence_ends_is_said_with_its_counts(summary: Summary) -> None:
    well = (
        "Every migration converged under guest-memory (working_set 64MiB) up to 160 MB/s, "
        "guest-memory (working_set 32MiB) up to 20.0 MB/s, "
    )
    assert ends(summary) == [f"{well}link-rate storage up to 10.0 Mbit/s."]
    short, rest = ends(with_status(summary, {"quick": "not-converged"}))
    assert short.startswith("Convergence ends between 20.0 MB/s and 160 MB/s of guest-memory (working_set 64MiB)")
    assert "6 of 6 at 160 MB/s" in short
    assert rest.startswith(
        "Every migration converged under guest-memory (working_set 32MiB) up to 20.0 MB/s, link-rate"
    )
    (first, _) = ends(with_status(summary, {"calm": "not-converged"}))
    assert "between none at all and 20.0 MB/s" in first
    (only,) = ends(with_status(summary, {"quick": "failed", "narrow": "failed"}))
    assert only == "Every migration converged under guest-memory (working_set 32MiB) up to 20.0 MB/s."


def test_the_table_and_the_picture_show_them(summary: Summary) -> None:
    found = doses.table(summary)
    assert found is not None
    rows = {(row[0][0], row[1][0]): row for row in found["rows"]}
    assert rows["guest-memory (working_set 64MiB)", "160 MB/s"][3] == ("+5.00", "+5.00 to +5.00")
    assert rows["guest-memory (working_set 64MiB)", "none"][3][0] == "13.5"
    drawn = doses.picture(with_status(summary, {"quick": "not-converged"}))
    assert drawn is not None
    time = drawn["vconcat"][0]
    assert time["facet"]["column"]["sort"] == ["guest-memory (working_set 64MiB) [MB/s]", "link-rate storage [Mbit/s]"]
    kinds = [row["what"] for row in time["data"]["values"] if row["load"].startswith("guest")]
    assert {kind: kinds.count(kind) for kind in kinds} == {"base": 1, "median": 1, "trial": 6, "short": 1}


def test_the_table_says_where_the_limit_decided(summary: Summary) -> None:
    trials = [
        replace(trial, limited={"none": None, "quick": True}.get(trial.facts.factors.disturbance, False))
        for trial in summary.trials
    ]
    found = doses.table(summarise(summary.environment, summary.plan, trials, None))
    assert found is not None
    rows = {row[1][0]: row[2][0] for row in found["rows"] if row[0][0] == "guest-memory (working_set 64MiB)"}
    assert rows == {"none": "6 (0 limited, 6 not known)", "20.0 MB/s": "6 ok", "160 MB/s": "6 ok (6 limited)"}


def test_a_run_without_doses_has_none(tmp_path: Path) -> None:
    axes = {"scenario": ["none"], "disturbance": ["none", "cut"]}
    plan = light(blocks=1, axes=axes, disturbance=TABLES[-1:])
    summary = analyse(fake_run(tmp_path, plan))
    assert (doses.table(summary), doses.picture(summary), ends(summary)) == (None, None, [])
