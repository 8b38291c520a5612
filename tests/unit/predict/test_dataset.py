"""The table of trials, and the benchmark that prints from it."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from madetrials import campaign, made, points

import prediction
from migrascope.mechanism.dirtying import Dirty
from migrascope.model.policy import AutoConverge, Moment
from migrascope.predict.dataset import BadDataset, read, row_of, table_of, write
from migrascope.predict.fit import NotFitted
from migrascope.predict.request import Settings, nova_limits
from migrascope.predict.trials import Trial


def written(path: Path, trials: list[Trial]) -> Path:
    write(path, [row_of(trial, points(trial)) for trial in trials])
    return path


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    """Of all three splits."""
    return [
        *campaign("fit", (5e6,), (8, 32), 0),
        *campaign("calibrate", (2e6, 8e6), (12,), 20_000),
        *campaign("held-out", (4e6, 7e6), (16,), 40_000),
    ]


def test_trials_are_read_as_they_were_written(tmp_path: Path) -> None:
    plain = made(5e6, 16, 40e6, 0.3, 1, "calibrate")
    settings = Settings(
        "auto-converge+stepped-limit", nova_limits(0.5, 10, 75, 1), 60.0, AutoConverge(initial=30),
        Moment(after_round=2), Moment.model_validate({"after": "1500ms"}), 0.5, 0.25, 1e8, 4, 3e7,
    )  # fmt: skip
    all_set = replace(plain, request=replace(plain.request, settings=settings), split="fit")
    found = read(written(tmp_path / "data.parquet", [plain, all_set]))
    for one, other in zip(found, (plain, all_set), strict=True):
        assert (one.cell, one.split, one.outcome) == (other.cell, other.split, other.outcome)
        assert one.request.settings == other.request.settings
        assert one.request.link_Bps == other.request.link_Bps
        seen, true = one.request.guest, other.request.guest
        assert (seen.memory_bytes, seen.held_bytes) == (true.memory_bytes, true.held_bytes)
        assert seen.dirtying.within(1.5) == pytest.approx(true.dirtying.within(1.5), rel=0.03)


def test_a_table_of_an_earlier_version_has_no_bounds(tmp_path: Path) -> None:
    path, trial = tmp_path / "data.parquet", made(5e6, 16, 40e6, 0.3, 1)
    bounded = replace(trial, request=replace(trial.request, settings=replace(trial.request.settings, bound_Bps=3e7)))
    assert read(written(path, [bounded]))[0].request.settings.bound_Bps == 3e7
    pl.read_parquet(path).drop("bound_Bps").write_parquet(path)
    assert read(path)[0].request.settings.bound_Bps is None


def test_what_is_no_table_of_trials_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    with pytest.raises(BadDataset, match=r"data\.parquet cannot be read"):
        read(path)
    path.write_text("no table")
    with pytest.raises(BadDataset, match="cannot be read"):
        read(path)
    row = row_of(made(5e6, 16, 40e6, 0.3, 1), [Dirty(1.0, 5e6)])
    pl.DataFrame([row]).drop("split").write_parquet(path)
    with pytest.raises(BadDataset, match="its column split is None"):
        read(path)
    for name, value, why in (("split", "test", "split is 'test'"), ("dirty", json.dumps([]), "row 1: D")):
        write(path, [{**row, name: value}])
        with pytest.raises(BadDataset, match=why):
            read(path)


def test_the_benchmark_prints_every_model_and_refuses_to_fit_on_held_out_cells(
    tmp_path: Path, trials: list[Trial]
) -> None:
    path = written(tmp_path / "data.parquet", trials)
    text = "\n".join(prediction.report(table_of(path), path))
    for name in ("QEMU's rule", "constant rate", "Gudkov", "Nathan", "tcg: ", "every policy"):
        assert name in text
    assert "held-out trials that were refused: 0" in text
    written(path, [replace(trial, split="held-out") for trial in trials])
    with pytest.raises(NotFitted, match="0 trials of 0 cells are too few"):
        prediction.report(table_of(path), path)
