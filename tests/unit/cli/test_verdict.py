"""Verdicts of whole runs on the fake lab: counted, told, in every output, and the exit code."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faketrial import FACTORS, SCRIPT, light, record
from rich.console import Console

from fakerun import fake_run
from migrascope.analysis.run import analyse, result_of
from migrascope.cli import results
from migrascope.cli.results import table_and_report
from migrascope.model.plan import Plan
from migrascope.store.recording import LEDGER, VOLUME
from migrascope.store.runfolder import RunFolder


def plan(allow: str = "unknown", blocks: int = 3) -> Plan:
    return light(blocks=blocks, axes={"scenario": ["none"]}, verdict={"allow": allow})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run in which the memory of one trial did not come whole."""
    return fake_run(tmp_path_factory.mktemp("runs"), plan(), lambda spec: replace(SCRIPT, whole=spec.number != 3))


def test_a_second_part_has_a_silence_of_its_own_that_is_no_loss(tmp_path: Path) -> None:
    """The guest stands still for 4 s, which the plan asks for in its second part only."""
    also = {"downtime_limit": ["100s"], "outage": "15s"}
    mixed = Plan.model_validate({"blocks": 1, "windows": {"before": "3s"}, "also": also})
    still: dict[str, Any] = {"pause_s": 4.0, "gap_s": 4.1, "lost_s": 4.0, "reported_downtime_s": 3.9}
    first = result_of(record(tmp_path / "first", mixed, FACTORS, **still))
    second = result_of(record(tmp_path / "second", mixed, replace(FACTORS, downtime_limit_s=100.0), **still))
    assert first.judgement.verdict == "service lost"
    assert second.judgement.verdict == "intact"


def test_where_every_witness_is_heard_all_is_intact(tmp_path: Path) -> None:
    assert result_of(record(tmp_path)).judgement.verdict == "intact"


@pytest.mark.parametrize("drop", ["ledger", "liveness", "qmp_status", "frame", "visit"])
def test_a_table_that_is_not_there_is_a_witness_that_was_not_heard(drop: str, tmp_path: Path) -> None:
    assert result_of(record(tmp_path, drop=(drop,))).judgement.verdict == "unknown"


@pytest.mark.parametrize("name", [LEDGER, VOLUME])
def test_a_volume_that_was_not_read_is_unknown(name: str, tmp_path: Path) -> None:
    recording = record(tmp_path)
    (recording.folder / name).unlink()
    assert result_of(recording).judgement.verdict == "unknown"


def test_verdicts_are_counted_and_told(run: RunFolder) -> None:
    summary = analyse(run)
    assert sum(cell.verdicts.get("data lost", 0) for cell in summary.cells) == 1
    assert sum(cell.verdicts.get("intact", 0) for cell in summary.cells) == len(summary.trials) - 1
    (finding,) = [item for item in summary.findings if item.topic == "verdict"]
    assert finding.verdict == "fail"
    assert "trial 3: memory:" in finding.text


@pytest.mark.parametrize(("allow", "code"), [("unknown", 1), ("guest lost", 1), ("data lost", 0), ("two copies", 0)])
def test_a_worse_verdict_than_the_plan_allows_is_exit_code_1(
    allow: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "write_results", lambda run, summary: run.path)
    run = fake_run(tmp_path, plan(allow, 2), lambda spec: replace(SCRIPT, whole=spec.number != 2))
    with (tmp_path / "out").open("w") as out:
        assert table_and_report(run, Console(file=out)) == code


def test_every_output_holds_them(run: RunFolder, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        table_and_report(run, Console(file=out))
    trials = json.loads((run.path / "summary.json").read_text())["trials"]
    assert [trial["verdict"]["verdict"] for trial in trials].count("data lost") == 1
    assert {"witness", "verdict", "text", "from_s", "until_s"} == set(trials[0]["verdict"]["statements"][0])
    assert ",data lost," in (run.path / "csv" / "trials.csv").read_text()
    page = (run.path / "report.html").read_text()
    assert '<summary class="lost">data lost</summary>' in page
    assert "<strong>ledger, volume</strong>: all" in page
