"""Runs as rows of a table of trials: nothing is lost, nothing is added twice, what is held out stays so."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from faketrial import light

from fakerun import fake_run
from migrascope.lab.fake.script import Failure, Script, default_script
from migrascope.metrics.trial import measure
from migrascope.model.schedule import TrialSpec
from migrascope.predict.collected import FILE, NotSampled, collect
from migrascope.predict.dataset import BadDataset, read
from migrascope.predict.trials import split_of
from migrascope.report.export.card import card, dictionary
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder

FAILURES: dict[str, Failure] = {"post-copy": "not-converged", "auto-converge": "destination-died"}
AXES = {"scenario": ["none"], "policy": ["pre-copy", *FAILURES, "multifd-zstd"]}


def scripts(spec: TrialSpec) -> Script:
    failure = FAILURES.get(spec.factors.policy)
    return replace(default_script(spec, 1), dirty_rate_Bps=20 * 2.0**20, failure=failure)


def made(folder: Path, **parts: object) -> RunFolder:
    plan = light(probes={"dirty": True, "echo_rate": 50}, blocks=1, **{"axes": AXES, **parts})
    return fake_run(folder, plan, scripts)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return made(tmp_path_factory.mktemp("collected"))


def test_every_trial_is_a_row_and_says_why_it_is_none_for_a_model(tmp_path: Path, run: RunFolder) -> None:
    added, table = collect(run, tmp_path / FILE, "a build on one core")
    assert added == table.height == 4
    rows = {row["set.policy"]: row for row in table.rows(named=True)}
    assert {policy: row["why"] for policy, row in rows.items() if not row["why"]}.keys() == {"pre-copy", "post-copy"}
    assert "how far this guest's memory compresses is not known" in rows["multifd-zstd"]["why"]
    assert "migration failed" in rows["auto-converge"]["why"]
    assert rows["post-copy"]["ended"] is False
    assert {row["beside"] for row in rows.values()} == {"a build on one core"}
    for row in rows.values():
        assert [period for period, _ in json.loads(row["dirty"])] == [0.05, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0]


def test_a_row_holds_every_figure_or_why_it_has_none(tmp_path: Path, run: RunFolder) -> None:
    _, table = collect(run, tmp_path / FILE, "")
    for row in table.rows(named=True):
        metrics = measure(Recording(run.trial(row["trial"])))
        missing = json.loads(row["missing"])
        for key, measured in metrics.items():
            assert row[f"metric.{key}"] == measured.value
            assert missing.get(key) == (None if measured.value is not None else measured.reason)
        assert row["at_least"].split() == [key for key, measured in metrics.items() if measured.at_least]
    first = table.filter(pl.col("set.policy") == "pre-copy").row(0, named=True)
    log = json.loads(first["round_log"])
    assert [each[0] for each in log] == list(range(1, len(log) + 1))
    assert [each[1] for each in log] == sorted(each[1] for each in log)
    assert log


def test_trials_are_added_once_and_rows_stay_as_they_were(tmp_path: Path, run: RunFolder) -> None:
    path = tmp_path / FILE
    _, first = collect(run, path, "first")
    before = path.read_bytes()
    assert collect(run, path, "again")[0] == 0
    assert path.read_bytes() == before
    other = made(tmp_path / "runs", axes={"scenario": ["none"], "link": ["500mbit"]})
    added, table = collect(other, path, "second")
    assert added == 1
    assert table.head(first.height).select(first.columns).equals(first)
    assert [trial.split for trial in read(path, without=run.id)] == ["held-out"]
    assert len(read(path)) == 3


def test_what_is_held_out_is_so_by_its_cell_alone() -> None:
    assert split_of("any", "hot", 1e9) == "held-out"
    assert split_of("any", "random", 500e6) == "held-out"
    found = [split_of(f"cell {number}", "random", 1e9) for number in range(300)]
    assert found == [split_of(f"cell {number}", "random", 1e9) for number in range(300)]
    assert 60 < found.count("calibrate") < 140
    assert found.count("held-out") == 0


def test_a_run_that_was_not_sampled_is_refused(tmp_path: Path) -> None:
    plain = fake_run(tmp_path / "runs", light(blocks=1, axes={"scenario": ["none"]}), scripts)
    with pytest.raises(NotSampled, match=r"set probes\.dirty = true"):
        collect(plain, tmp_path / FILE, "")
    assert not (tmp_path / FILE).exists()


def test_another_file_is_not_overwritten(tmp_path: Path, run: RunFolder) -> None:
    (tmp_path / FILE).write_text("mine")
    with pytest.raises(BadDataset, match="cannot be read"):
        collect(run, tmp_path / FILE, "")
    assert (tmp_path / FILE).read_text() == "mine"


def test_the_card_says_what_is_held_out_and_every_column_has_a_meaning(tmp_path: Path, run: RunFolder) -> None:
    _, table = collect(run, tmp_path / FILE, "")
    text = card(table)
    for words in ("CC-BY-4.0", "4 trials of 4 cells and 1 runs", "pattern hot", "500 Mbit/s", "1 failed"):
        assert words in text
    lines = dictionary(table).splitlines()
    assert len(lines) == 1 + table.width
    assert not [line for line in lines if line.endswith(",")]
