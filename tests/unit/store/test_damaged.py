"""Recordings that are not what was written: named, in no statistic, and never an internal error."""

import contextlib
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from faketrial import light

from fakerun import fake_run
from migrascope.analysis.run import analyse
from migrascope.cli.main import app
from migrascope.model.problem import Problem
from migrascope.report.build import write_results
from migrascope.store.recording import Damaged, Recording
from migrascope.store.runfolder import RunError, RunFolder, find_run
from migrascope.study.doctor import machine
from migrascope.study.runs import run as study_run
from migrascope.study.runs.load import another_runs
from migrascope.trial.agent_client import AgentClient

TRIAL = 2


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(tmp_path_factory.mktemp("sound"), light(blocks=3, axes={"scenario": ["none"]}))


@pytest.fixture(scope="module")
def sound_alone(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(tmp_path_factory.mktemp("alone"), light(blocks=1, axes={"scenario": ["none"]}))


@pytest.fixture
def run(sound: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(sound.path, tmp_path / "run")))


@pytest.fixture
def alone(sound_alone: RunFolder, tmp_path: Path) -> RunFolder:
    """A run of one trial: for what is said of that one, whatever others are."""
    return RunFolder(Path(shutil.copytree(sound_alone.path, tmp_path / "alone")))


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
    assert {measured.value for measured in hurt.metrics.values()} == {None}
    assert hurt.judgement.verdict == "unknown"
    (cell,) = summary.cells
    assert (cell.trials, cell.failed, cell.metrics["vm_pause_s"].n) == (3, 1, 2)


def test_each_verb_that_reads_ends_with_4(
    run: RunFolder, sound: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrascope.report.export.export.drawn", lambda _: ("", b""))
    flip(run.trial(TRIAL) / "visit.parquet")
    limits = tmp_path / "limits.toml"
    limits.write_text("[thresholds]\nvm_pause_s = { most = '300ms' }\n")
    text, other = str(run.path), str(sound.path)
    for words in (
        ["check", text, "--thresholds", str(limits)],
        ["compare", other, text],
        ["export", text, str(tmp_path / "x")],
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


def test_a_table_without_checksums_is_counted(alone: RunFolder) -> None:
    trial = alone.trial(1)
    forget_checksums(trial)
    assert analyse(alone).trials[0].facts.status == "ok"
    table = pl.read_parquet(trial / "visit.parquet")
    table.head(table.height - 1).write_parquet(trial / "visit.parquet")
    reason = analyse(alone).trials[0].facts.reason
    assert reason is not None
    assert reason.endswith(f"visit.parquet: {table.height - 1} rows of {table.height}")


DEEP = "[" * 100_000


def reseal(trial: Path, **changes: object) -> None:
    """Checksums and counts that fit what is there: whoever can write a folder can write these."""
    facts = json.loads((trial / "trial.json").read_text())
    tables = {path.stem: pl.read_parquet(path).height for path in trial.glob("*.parquet")}
    facts |= {"files": {}, "tables": tables, "checksum": "", **changes}
    (trial / "trial.json").write_text(json.dumps(facts))


def cell(trial: Path, table: str, column: str, value: object) -> None:
    path = trial / f"{table}.parquet"
    rows = pl.read_parquet(path)
    rows.with_columns(pl.lit(value, dtype=rows.schema[column]).alias(column)).write_parquet(path)


def other_type(trial: Path) -> None:
    path = trial / "visit.parquet"
    pl.read_parquet(path).with_columns(pl.col("due_ns").cast(pl.String)).write_parquet(path)


def add_event(trial: Path, line: str) -> None:
    with (trial / "events.ndjson").open("a") as file:
        file.write(line + "\n")


FORGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no event": (lambda trial: add_event(trial, "{}"), r"events\.ndjson: its line \d+ is no event"),
    "a deep event": (lambda trial: add_event(trial, DEEP), r"events\.ndjson: its line \d+ is no event"),
    "bytes for events": (lambda trial: (trial / "events.ndjson").write_bytes(b"\xff\n"), "its line 1 is no event"),
    "a column of another type": (other_type, r"visit\.parquet: its column due_ns is String, not Int64"),
    "an answer that is none": (lambda trial: cell(trial, "qmp_status", "answer", DEEP), "no figure can be computed"),
    "another answer": (lambda trial: cell(trial, "qmp_status", "answer", "[7]"), "no figure can be computed"),
    "no table": (lambda trial: (trial / "visit.parquet").write_bytes(b"PAR1" * 9), "visit.parquet"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_fits_its_checksums_and_is_nonsense_is_named_too(alone: RunFolder, name: str) -> None:
    forge, said = FORGED[name]
    forge(alone.trial(1))
    with contextlib.suppress(pl.exceptions.PolarsError):
        reseal(alone.trial(1))
    found = analyse(alone).trials[0].facts
    assert found.status == "damaged"
    assert re.search(said, found.reason or ""), found.reason


@pytest.mark.parametrize(
    "changes",
    [{"number": "x"}, {"factors": {}}, {"factors": None}, {"status": 7}, {"plan": []}, {"facts": None}],
    ids=str,
)
def test_facts_of_other_types_are_named(alone: RunFolder, changes: dict[str, object]) -> None:
    reseal(alone.trial(1), **changes)
    reason = analyse(alone).trials[0].facts.reason
    assert reason is not None
    assert f"trial.json: {next(iter(changes))}" in reason


def test_a_trial_of_another_run_or_number_is_foreign(run: RunFolder) -> None:
    path, other = run.trial(1), run.trial(TRIAL)
    path.rename(run.path / "x")
    other.rename(path)
    (run.path / "x").rename(other)
    assert ["is no recording of trial" in (trial.facts.reason or "") for trial in analyse(run).trials] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "null", "NaN", DEEP, "\xff", '{"schema": 1}', '{"schema": 1, "id": "../x"}',
     '{"schema": 1, "id": "x", "environment": null}', '{"schema": 1, "id": "x", "environment": {"cpu": 7}}',
     '{"schema": ' + "[" * 2000 + "]" * 2000 + "}", '{"schema": "' + "x" * 10**6 + '"}'],
)  # fmt: skip
def test_a_manifest_that_is_none_is_named_shortly(run: RunFolder, text: str) -> None:
    (run.path / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match=re.escape(str(run.path))) as error:
        RunFolder(run.path)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("target", ["/dev/zero", "pipe", "/dev/tty"])
@pytest.mark.parametrize("name", ["visit.parquet", "events.ndjson", "trial.json", "ledger"])
def test_a_file_of_a_trial_that_is_no_file_holds_nobody_up(
    alone: RunFolder, tmp_path: Path, name: str, target: str, checked: bool
) -> None:
    os.mkfifo(tmp_path / "pipe")
    if not checked:
        forget_checksums(alone.trial(1))
    path = alone.trial(1) / name
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path / target)
    found = analyse(alone).trials[0].facts
    if checked or name != "ledger":
        assert found.status == "damaged"
        assert name in (found.reason or "")


@pytest.mark.parametrize("kind", ["pipe", "large", "endless", "folder"])
def test_a_manifest_that_is_no_file_holds_nobody_up(run: RunFolder, kind: str) -> None:
    path = run.path / "manifest.json"
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "large":
            with path.open("wb") as file:
                file.truncate(10**8)
        case "endless":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()
    with pytest.raises(RunError, match="is not a run folder"):
        RunFolder(run.path)


def test_folders_that_are_no_trials_are_passed_over(run: RunFolder) -> None:
    for name in ("²", "٣", "07", "-1", "x", "9" * 200):
        (run.path / "trials" / name).mkdir()
    assert run.finished() == {1, 2, 3}


@pytest.mark.parametrize("name", ["-²", "-٣", "-0", "-99", "x" * 300, "x/" * 3000, "²"])
def test_a_name_that_no_run_has(run: RunFolder, name: str) -> None:
    with pytest.raises(RunError, match="no run"):
        find_run(run.path.parent, name)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"blocks = 0", b"a = " + b"[" * 5000, b"\0", b"[" * 100_000])
def test_a_plan_of_a_run_that_is_none_is_named(run: RunFolder, content: bytes) -> None:
    (run.path / "plan.toml").write_bytes(content)
    if content:
        with pytest.raises(Problem, match=r"plan\.toml"):
            analyse(run)
        with pytest.raises(Problem, match=r"plan\.toml"):
            run.plan()
    (run.path / "load.json").unlink(missing_ok=True)
    (run.path / "plan.toml").unlink()
    (run.path / "plan.toml").symlink_to("/dev/zero")
    for read in (RunFolder.plan, another_runs, analyse):
        with pytest.raises(Problem, match=r"plan\.toml"):
            read(run)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"rows": 7}', '{"rows": [{"layer": "vm"}]}', '{"rows": [7]}', DEEP])
def test_a_stored_calibration_that_is_none_is_as_if_there_were_none(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "calibration.json").write_text(text)
    for module in (machine, study_run):
        monkeypatch.setattr(module, "CALIBRATION", tmp_path / "calibration.json")
    assert machine._calibration().verdict == "fail"
    study_run._quote_calibration(run)
    assert not (run.path / "calibration.json").exists()


@pytest.mark.parametrize("body", ["", "[]", "7", "null", DEEP, "\xff"])
async def test_a_guest_that_answers_with_nonsense_did_not_answer(body: str) -> None:
    class Runtime:
        async def request(self, *_: object, **__: object) -> tuple[int, bytes]:
            return 200, body.encode("latin-1")

    with pytest.raises(OSError, match="/alive: "):
        await AgentClient("http://192.0.2.1", None, Runtime()).ask("/alive")  # type: ignore[arg-type]


@pytest.mark.parametrize("axes", ["x", None, {}, {"scenario": 7}, {"policy": 7}])
def test_what_is_said_over_all_trials_rests_on_the_plan_of_the_run(run: RunFolder, axes: object) -> None:
    for trial in run.finished():
        path = run.trial(trial) / "trial.json"
        facts = json.loads(path.read_text())
        path.write_text(json.dumps({**facts, "plan": {**facts["plan"], "axes": axes}, "checksum": ""}))
    summary = analyse(run)
    assert [trial.facts.plan for trial in summary.trials] == [summary.plan] * 3
    assert write_results(run, summary).is_file()
