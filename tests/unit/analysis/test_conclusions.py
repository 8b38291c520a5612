"""What the built-in studies of data against time and downtime say, over whole runs of them on the fake lab."""

from dataclasses import replace
from pathlib import Path

import pytest
from faketrial import light

from fakerun import fake_run
from migrascope.analysis.check import check_run
from migrascope.analysis.export import summary_json
from migrascope.analysis.policies import costs
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.model.threshold import Threshold
from migrascope.report.page import policies
from migrascope.study.plans import Options, load


def study(name: str, folder: Path) -> Summary:
    """A run of the built-in plan with as many blocks as its second part has, and few packets and visits."""
    plan = load(name, Options(lab="fake"))
    few = light()
    return analyse(fake_run(folder, plan.model_copy(update={
        "probes": few.probes, "visitors": few.visitors, "windows": few.windows, "blocks": 2,
    })))  # fmt: skip


@pytest.fixture(scope="module")
def thesis(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return study("thesis", tmp_path_factory.mktemp("thesis"))


def test_the_study_answers_both_of_its_questions(thesis: Summary) -> None:
    found = {
        item.evidence.get("metric"): item for item in thesis.findings if item.topic in ("data-time", "data-downtime")
    }
    assert set(found) == {None, "vm_pause_s", "network_blackout_s"}
    for metric, finding in found.items():
        assert finding.verdict == "pass", finding
        assert "95 % interval" in finding.text
        assert (
            "resident memory set within 2 otherwise equal settings; downtime limit 100 s (stop-and-copy)"
            in finding.text
        )
        assert "it decided in none" in finding.text
        assert (finding.evidence["limit_decided"], finding.evidence["unknown"], finding.evidence["of"]) == (0, 0, 16)
        assert finding.evidence["low"] < 8 / 0.957e9 < finding.evidence["high"] or metric is None


def test_trials_that_the_limit_decided_are_said_to_be_in(thesis: Summary) -> None:
    (first, *_) = [cell for cell in thesis.first_part() if cell.factors.scenario == "none"]
    known = replace(first, limited=1, limit_unknown=1)
    cells = [known if cell is first else cell for cell in thesis.cells]
    (told, *_) = check_run(replace(thesis, cells=cells), {"vm_pause_s": Threshold(most="1s")})
    assert "the downtime limit decided in 1 of 2 trials, not known in 1" in told.text
    assert (told.limit_decided, told.limit_unknown, told.of) == (1, 1, 2)
    (shown, *_) = [
        cell for cell in summary_json(replace(thesis, cells=cells))["cells"] if cell["factors"] == vars(first.factors)
    ]
    assert shown["limit_decided"] == {"limit_decided": 1, "unknown": 1, "of": 2}
    other = replace(known, factors=replace(first.factors, policy="post-copy"))
    table = policies.table(replace(thesis, policies=costs([known, other], [])))
    assert table is not None
    assert all("(1 limited, 1 not known)" in " ".join(row) for row in table["rows"])
