"""Recordings that are not what was written: named, in no statistic, and never an internal error."""

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from faketrial import light, run_of

from migrascope.analysis.run import analyse
from migrascope.cli.main import app
from migrascope.store.recording import Damaged, Recording
from migrascope.store.runfolder import RunFolder

TRIAL = 2


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_of(tmp_path_factory.mktemp("sound"), light(blocks=3, axes={"scenario": ["none"]}))


@pytest.fixture
def run(sound: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(sound.path, tmp_path / "run")))


def flip(path: Path, seed: int = 1) -> None:
    """One bit of a file is another one."""
    content = bytearray(path.read_bytes())
    bit = random.Random(seed).randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def newer(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))


def forget_checksums(trial: Path) -> None:
    """As a version wrote it that had none."""
    path = trial / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": {}, "checksum": ""}))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a table's bit": (lambda trial: flip(trial / "visit.parquet"), r"visit\.parquet: it is not what was written"),
    "an event's bit": (lambda trial: flip(trial / "events.ndjson"), r"events\.ndjson: it is not what was written"),
    "a fact's bit": (lambda trial: flip(trial / "trial.json"), r"trial\.json: "),
    "a table is gone": (lambda trial: (trial / "qmp_event.parquet").unlink(), r"qmp_event\.parquet: No such file"),
    "a table is cut": (
        lambda trial: (trial / "echo_sent.parquet").write_bytes((trial / "echo_sent.parquet").read_bytes()[:100]),
        r"echo_sent\.parquet: .*100 bytes of",
    ),
    "no facts": (lambda trial: (trial / "trial.json").unlink(), r"trial\.json: .*No such file"),
    "no JSON": (lambda trial: (trial / "trial.json").write_text("{"), r"trial\.json: "),
    "no object": (lambda trial: (trial / "trial.json").write_text("[]"), r"trial\.json: "),
    "nothing": (lambda trial: (trial / "trial.json").write_bytes(b""), r"trial\.json: "),
    "a newer trial": (lambda trial: newer(trial / "trial.json"), "trial schema 99 is not known"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_it_is_named_and_in_no_statistic(run: RunFolder, name: str) -> None:
    damage, said = DAMAGES[name]
    damage(run.trial(TRIAL))
    summary = analyse(run)
    assert [trial.facts.status for trial in summary.trials] == ["ok", "damaged", "ok"]
    hurt = summary.trials[1]
    assert hurt.facts.reason is not None
    assert re.search(said, hurt.facts.reason), hurt.facts.reason
    assert str(run.trial(TRIAL)) in hurt.facts.reason
    assert {one.value for one in hurt.metrics.values()} == {None}
    assert hurt.judgement.verdict == "unknown"
    (cell,) = summary.cells
    assert (cell.trials, cell.failed, cell.metrics["vm_pause_s"].n) == (3, 1, 2)


def test_each_verb_that_reads_ends_with_4(
    run: RunFolder, sound: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(run.trial(TRIAL) / "visit.parquet")
    limits = tmp_path / "limits.toml"
    limits.write_text("[thresholds]\nvm_pause_s = { most = '300ms' }\n")
    one, other = str(run.path), str(sound.path)
    for words in (
        ["check", one, "--thresholds", str(limits)],
        ["compare", other, one],
        ["export", one, str(tmp_path / "x")],
    ):
        assert app(words, result_action="return_value") == 4


@pytest.mark.parametrize("seed", range(12))
def test_no_bit_of_a_trial_goes_unnoticed(sound: RunFolder, tmp_path: Path, seed: int) -> None:
    """Of JSON a blank may be another blank: what it says is what was written."""
    folder = Path(shutil.copytree(sound.trial(TRIAL), tmp_path / "trial"))
    chance = random.Random(seed)
    flip(chance.choice(sorted(file for file in folder.iterdir() if file.is_file())), seed)
    try:
        found = Recording(folder)
        found.verify()
    except Damaged:
        return
    assert found.trial == Recording(sound.trial(TRIAL)).trial


@pytest.mark.parametrize(
    ("name", "text"),
    [("plan.toml", "{"), ("plan.toml", "blocks = 0"), ("calibration.json", ""), ("calibration.json", "[]")],
)
def test_a_file_of_the_run_itself_is_named(run: RunFolder, name: str, text: str) -> None:
    (run.path / name).write_text(text)
    with pytest.raises(Damaged, match=name) as error:
        analyse(run)
    assert error.value.code == 4


def test_a_table_without_checksums_is_counted(run: RunFolder) -> None:
    trial = run.trial(TRIAL)
    forget_checksums(trial)
    assert analyse(run).trials[1].facts.status == "ok"
    table = pl.read_parquet(trial / "visit.parquet")
    table.head(table.height - 1).write_parquet(trial / "visit.parquet")
    reason = analyse(run).trials[1].facts.reason
    assert reason is not None
    assert reason.endswith(f"visit.parquet: {table.height - 1} rows of {table.height}")
