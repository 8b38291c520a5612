"""Runs written out for others to use, and where they are not."""

import csv
import io
import resource
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
from cloudtrial import record_run
from tworuns import short_run

from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.cli.main import app
from migrascope.metrics.catalogue import metric_of
from migrascope.model.problem import Problem, UsageProblem
from migrascope.model.schedule import Factors
from migrascope.report.build import in_time
from migrascope.report.charts import one_trial
from migrascope.report.charts.figures import figures
from migrascope.report.export.dictionary import CELL, FACTORS, TRIAL, dictionary
from migrascope.report.export.export import export
from migrascope.store.runfolder import RunFolder


@pytest.fixture(scope="module")
def short() -> RunFolder:
    return short_run()


@pytest.fixture(scope="module")
def ours(short: RunFolder) -> Summary:
    return analyse(short)


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
