"""Damaged and forged runs by the hundred: what is wrong is named, and no verb that reads them breaks."""

import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from faketrial import light

from fakerun import fake_run
from kept import Kept
from migrascope.cli.main import app
from migrascope.model.problem import Problem
from migrascope.store.recording import TrialFacts, digest
from migrascope.store.runfolder import RunFolder
from soak.tried import Tried

pytestmark = pytest.mark.soak
ODD: list[Any] = [
    None, True, -1, 0, 7, 2**63 - 1, -(2**63), 10**400, 1e308, math.nan, math.inf, "", "x", "../../x", "\x1b[2J\0",
    "é\u202e", "[bold]x[/]", [], [[]], {}, {"a": None}, "=cmd()", "9" * 5000,
]  # fmt: skip
DEEP = "[" * 100_000


def some_file(folder: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()))


def some_trial(run: Path, chance: random.Random) -> Path:
    return chance.choice(sorted((run / "trials").iterdir()))


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 1, 3, 40])):
        bit = chance.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def accident(run: Path, chance: random.Random) -> None:
    """What disks, copies and kills do."""
    path = some_file(run, chance)
    content = path.read_bytes()
    match chance.randrange(6):
        case 0 | 1:
            flip(path, chance)
        case 2:
            path.write_bytes(content[: chance.randrange(len(content) + 1)])
        case 3:
            path.unlink()
        case 4:
            path.write_bytes(chance.randbytes(chance.choice([0, 1, 100, 5000])))
        case _:
            shutil.rmtree(some_trial(run, chance))


def replaced(value: Any, chance: random.Random) -> Any:
    """A JSON value in which one leaf or branch is something odd."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.15:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: replaced(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return [*value[:at], replaced(value[at], chance), *value[at + 1 :]]
    return chance.choice(ODD)


def odd_json(run: Path, chance: random.Random) -> None:
    """A file of JSON that says something else."""
    path = chance.choice(sorted(path for path in run.rglob("*.json") if path.is_file()))
    path.write_text(json.dumps(replaced(json.loads(path.read_text()), chance)))


def reseal(trial: Path) -> None:
    """Checksums and counts that fit what is there: whoever can write a folder can write these."""
    facts = json.loads((trial / "trial.json").read_text())
    facts["files"] = {path.name: digest(path) for path in sorted(trial.iterdir()) if path.name != "trial.json"}
    facts["tables"] = {
        path.stem: pl.scan_parquet(path).select(pl.len()).collect().item() for path in trial.glob("*.parquet")
    }
    try:
        sealed = TrialFacts.from_json({**facts, "checksum": ""}).sealed()
    except (ValueError, TypeError):
        sealed = {**facts, "checksum": ""}
    (trial / "trial.json").write_text(json.dumps(sealed))


def forged_facts(run: Path, chance: random.Random) -> None:
    trial = some_trial(run, chance)
    facts = json.loads((trial / "trial.json").read_text())
    odd = replaced(facts, chance)
    (trial / "trial.json").write_text(json.dumps({**odd, "checksum": ""} if isinstance(odd, dict) else odd))
    if isinstance(odd, dict):
        reseal(trial)


def forged_events(run: Path, chance: random.Random) -> None:
    trial = some_trial(run, chance)
    lines = [json.loads(line) for line in (trial / "events.ndjson").read_text().splitlines()]
    at = chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            lines[at] = replaced(lines[at], chance)
        case 1:
            del lines[at]
        case 2:
            chance.shuffle(lines)
        case _:
            lines[at] = {**lines[at], "mono_ns": chance.choice([0, -1, 2**63 - 1, 10**30])}
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (trial / "events.ndjson").write_text(text + (DEEP + "\n" if chance.random() < 0.1 else ""))
    reseal(trial)


def forged_table(run: Path, chance: random.Random) -> None:
    """A table whose cells, columns or rows are others."""
    trial = some_trial(run, chance)
    path = chance.choice(sorted(trial.glob("*.parquet")))
    table = pl.read_parquet(path)
    column = chance.choice(table.columns)
    match chance.randrange(8):
        case 0:
            table = table.drop(column)
        case 1:
            table = table.with_columns(pl.col(column).cast(pl.String))
        case 2:
            table = table.with_columns(pl.lit(None, dtype=table.schema[column]).alias(column))
        case 3 if table.schema[column] == pl.Int64:
            table = table.with_columns(pl.lit(chance.choice([0, -1, 2**63 - 1, -(2**63)])).alias(column))
        case 3 if table.schema[column] == pl.Float64:
            table = table.with_columns(pl.lit(chance.choice([math.nan, math.inf, -1e308])).alias(column))
        case 3 | 4 if table.schema[column] == pl.String:
            odd = chance.choice(["", "{", "null", "[]", DEEP, "\x1b[2J", '{"status": 7}', "x" * 100_000])
            table = table.with_columns(pl.lit(odd).alias(column))
        case 5:
            table = table.clear()
        case 6:
            table = pl.concat([table, table])
        case _:
            table = table.sample(fraction=1.0, shuffle=True, seed=chance.randrange(2**31))
    table.write_parquet(path)
    reseal(trial)


def foreign(run: Path, chance: random.Random) -> None:
    """Links, other kinds of files, names that are none, trials in each other's place."""
    trial, path = some_trial(run, chance), some_file(run, chance)
    match chance.randrange(8):
        case 0:
            path.unlink()
            path.symlink_to(chance.choice(["/dev/zero", "/etc/passwd", path.name, "/nowhere", ".."]))
        case 1:
            path.unlink()
            path.mkdir()
        case 2:
            item, other = sorted((run / "trials").iterdir())[:2]
            item.rename(run / "x")
            other.rename(item)
            (run / "x").rename(other)
        case 3:
            for name in ("²", "٣", "-1", "07", "9" * 200, "1e3", "x\n"):
                (run / "trials" / name).mkdir()
        case 4:
            for name in ("csv", "report.html", "summary.json", ".report.html.part"):
                (run / name).symlink_to(run.parent / "outside")
        case 5:
            path.write_text(DEEP)
        case 6:
            with path.open("wb") as file:
                file.truncate(100 * 2**20)
        case _:
            (trial / "events.ndjson").write_bytes(b"\xff\xfe\n" * 100)
            reseal(trial)


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "by accidents": accident,
    "with odd JSON": odd_json,
    "with forged facts": forged_facts,
    "with forged events": forged_events,
    "with forged tables": forged_table,
    "foreign": foreign,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = fake_run(tmp_path_factory.mktemp("sound"), light(blocks=2, axes={"scenario": ["none"]}))
    run.keep_load(light().full_load())
    row: dict[str, object] = {"layer": "vm", "truth": "pause", "nominal_s": None, "n": 3}
    row |= dict.fromkeys(["truth_s", "truth_bound_s", "bias_s", "abs_error_median_s", "abs_error_p95_s"], 0.001)
    (run.path / "calibration.json").write_text(json.dumps({"rows": [row]}))
    return run.path


def test_damaged_runs_are_named_and_break_nothing(
    sound: Path, tmp_path: Path, kept: Kept, capfd: pytest.CaptureFixture[str]
) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text('[thresholds]\nvm_pause_s = { most = "300ms" }\n')
    tried = Tried("damaged and forged runs, each read by three verbs or four", 400, longest_s=60)
    assert app(["show", str(sound), "--json"], result_action="return_value") == 0
    clean = capfd.readouterr().out

    def one(chance: random.Random, at: int) -> str:
        run, out = tmp_path / f"run-{at}", tmp_path / f"export-{at}"
        shutil.copytree(sound, run, symlinks=True)
        (tmp_path / "outside").write_text("kept")
        name = tried.input = chance.choice(list(KINDS))
        for _ in range(chance.choice([1, 1, 2])):
            try:
                KINDS[name](run, chance)
            except (OSError, ValueError, TypeError, AttributeError, RecursionError, pl.exceptions.PolarsError):
                continue  # what is damaged already may be in no state to be damaged so
        others = [
            ["report", str(run)], ["check", str(run), "--thresholds", str(limits)], ["compare", str(sound), str(run)],
            ["compare", str(run), str(run), "--force", "--json"], ["show", str(run)],
        ]  # fmt: skip
        code, said = ended(["show", str(run), "--json"], capfd)
        for words in chance.sample(others, 2):
            ended(words, capfd)
        if chance.random() < 0.1:  # it draws every picture, for which it takes as long as twenty others
            ended(["export", str(run), str(out)], capfd)
        assert (tmp_path / "outside").read_text() == "kept"
        if code == 0 and name == "by accidents" and same_but_trials(run, sound):
            assert json.loads(said) == json.loads(clean), "damage of a recording went unnoticed"
        for folder in (run, out):
            shutil.rmtree(folder, ignore_errors=True)
        return f"{name} ({'read' if code == 0 else 'named'})"

    tried.all(one)
    with capfd.disabled():
        tried.keep(kept)


def same_but_trials(run: Path, sound: Path) -> bool:
    """Whether all its trials are there and the run's own files, which have no checksums, are as they were."""
    names = ("plan.toml", "manifest.json", "load.json", "calibration.json")
    same = all((run / name).exists() and (run / name).read_bytes() == (sound / name).read_bytes() for name in names)
    return same and RunFolder(run).finished() == RunFolder(sound).finished()


def ended(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """How a verb ended and what it printed; anything else but a code, a problem or what the kernel refused is
    raised, as it would be an internal error."""
    try:
        code = app(words, result_action="return_value")
    except Problem as problem:
        code = problem.code
    except OSError:
        code = Problem.code
    said = capfd.readouterr()
    assert code in (0, 1, 2, 3, 4), (words, code)
    assert "Traceback" not in said.out + said.err, said.err
    return code, said.out
