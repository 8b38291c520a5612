"""The run folder: where a run's plan, trials and results lie, and how a trial becomes final."""

import contextlib
import gzip
import os
import re
import reprlib
import secrets
import shutil
import time
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, Field, ValidationError

from migrascope.model.load import Load
from migrascope.model.name import OURS
from migrascope.model.plan import Plan
from migrascope.model.problem import UsageProblem
from migrascope.store import spool
from migrascope.store.atomic import write_json, write_whole
from migrascope.store.document import read_json, read_object, read_text
from migrascope.store.recording import Damaged, Recording, TrialFacts, digest, parquet, polars_schema
from migrascope.store.removal import remove_tree

SCHEMA = 1
_NUMBER = re.compile("[1-9][0-9]{0,9}")
PLAN, LOAD = "plan.toml", "load.json"
LOCK = ".lock"
"""In the run folder: held by the process that writes it."""
OPEN = ".open"
"""What the folder of a trial is called beside its number, until it is sealed."""


class _Environment(BaseModel):
    """What figures are read with."""

    cpu: str
    cores: int
    memory_bytes: int = Field(ge=0, lt=2**63)


class _Machine(BaseModel):
    """A manifest, as far as it says where it ran."""

    environment: _Environment = _Environment(cpu="", cores=0, memory_bytes=0)
    lab: str = ""
    accelerator: str = ""
    qemu: str = ""


def machine_text(manifest: dict[str, Any]) -> str:
    """The machine of a run in a few words, as far as its manifest knows it."""
    facts = manifest.get("environment", {})
    if not facts:
        return "machine unknown"
    return f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_bytes'] / 2**30:.0f} GiB"


class RunError(UsageProblem):
    """A run that cannot be found, read or written; the message says what to do next."""


class RunUnwritable(RunError):
    """A run folder that cannot be written where it was wanted."""

    code = 4


class RunFolder:
    """runs/<id>: manifest.json, plan.toml, load.json, trials/<n>/, summary.json, report.html."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.manifest = read_object(path / "manifest.json")
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is not a run folder: {error}") from error
        if self.manifest.get("schema") != SCHEMA:
            raise RunError(
                f"{path}: run schema {reprlib.repr(self.manifest.get('schema'))} is not known, only {SCHEMA}"
            )
        try:
            _Machine.model_validate(self.manifest)
        except ValidationError as error:
            place = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
            raise RunError(f"{path}: manifest.json does not say which machine it was, at {place}") from error
        if not OURS.fits(self.manifest.get("id")):
            raise RunError(f"{path}: manifest.json has no valid id, but {reprlib.repr(self.manifest.get('id'))}")

    @classmethod
    def create(cls, parent: Path, plan_text: str, manifest: dict[str, Any]) -> "RunFolder":
        """A new folder in `parent` and `parent`/latest pointing at it. RunUnwritable where that cannot be."""
        name = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)
        path = parent / name
        try:
            (path / "trials").mkdir(parents=True)
            (path / PLAN).write_text(plan_text, encoding="utf-8")
            write_json(path / "manifest.json", {"schema": SCHEMA, "id": name, **manifest})
            fresh = parent / f".latest.{name}"
            fresh.symlink_to(name)
            fresh.replace(parent / "latest")
        except OSError as error:
            raise RunUnwritable(
                f"cannot write the run folder {path}: {error.strerror}; choose another with --runs"
            ) from error
        return cls(path)

    @property
    def id(self) -> str:
        return str(self.manifest["id"])

    def plan(self) -> Plan:
        """The plan as it ran. Damaged where its file cannot be read, or holds none."""
        path = self.path / PLAN
        try:
            return Plan.model_validate(tomllib.loads(read_text(path)))
        except (OSError, ValueError, RecursionError) as error:
            raise Damaged(f"{path}: {error}") from error

    def load(self) -> Load | None:
        """The load of its trials; None where none was chosen yet, or its plan holds all the numbers. RunError where the
        file cannot be read."""
        path = self.path / LOAD
        try:
            return Load.from_json(read_json(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error

    def keep_load(self, load: Load) -> None:
        """Writes down the load of its trials."""
        write_json(self.path / LOAD, load.as_json())

    def recordings(self) -> list[Recording]:
        """All sealed trials by their number. Damaged where one cannot be read."""
        return [Recording(self.trial(number)) for number in sorted(self.finished())]

    def trial(self, number: int) -> Path:
        """The folder of a sealed trial."""
        return self.path / "trials" / str(number)

    def finished(self) -> set[int]:
        """Numbers of the sealed trials, failed ones included: a failed trial is a result."""
        return {int(path.name) for path in (self.path / "trials").iterdir() if _NUMBER.fullmatch(path.name)}

    def running(self) -> int | None:
        """The number of the trial that is open: it runs, or its run was killed. None where none is."""
        opened = [path.name.removesuffix(OPEN) for path in (self.path / "trials").glob(f"*{OPEN}")]
        return max((int(name) for name in opened if name.isdigit()), default=None)

    def open_trial(self, number: int) -> Path:
        """An empty folder <number>.open for a trial that begins; what an earlier, killed attempt left there goes.
        NotRemoved where it cannot."""
        path = self.path / "trials" / f"{number}{OPEN}"
        remove_tree(path, self.path)
        path.mkdir()
        return path

    def seal_trial(self, opened: Path, facts: TrialFacts) -> Recording:
        """Turns the spools into Parquet, writes trial.json, and makes the trial final by one rename.

        A capture is compressed. A spool whose process died before it began is no table.
        """
        counts: dict[str, int] = {}
        parts: dict[str, list[pl.DataFrame]] = {}
        for path in spool.spools(opened):
            try:
                header, rows = spool.read(path)
            except spool.NoHeader:
                continue
            parts.setdefault(header["table"], []).append(_frame(header, rows))
        for name, frames in parts.items():
            table = pl.concat(frames)
            counts[name] = table.height
            write_whole(opened / f"{name}.parquet", parquet(table))
        for path in sorted(opened.glob("capture@*.pcapng")):
            _compress(path)
        for path in spool.spools(opened):
            path.unlink()
        files = {path.name: digest(path) for path in sorted(opened.iterdir()) if path.is_file()}
        write_json(opened / "trial.json", replace(facts, tables=counts, files=files).sealed())
        for path in opened.iterdir():
            _sync(path)
        final = opened.with_suffix("")
        opened.rename(final)
        _sync(final.parent)
        return Recording(final)


def _frame(header: dict[str, Any], rows: list[Sequence[Any]]) -> pl.DataFrame:
    schema = polars_schema(header["table"])
    columns = list(zip(*rows, strict=True)) or [()] * len(header["columns"])
    frame = pl.DataFrame(
        {
            name: pl.Series(name, values, dtype=schema[name])
            for name, values in zip(header["columns"], columns, strict=True)
        }
    )
    return frame.with_columns(
        pl.lit(header[name], dtype=pl.String).alias(name) for name in ("source", "host", "instance", "migration")
    )


def _compress(path: Path) -> None:
    """FILE.gz in the place of a file. No name and no time go into it: the same packets give the same bytes."""
    squeezed = path.with_name(f"{path.name}.gz")
    with (
        path.open("rb") as source,
        squeezed.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as target,
    ):
        shutil.copyfileobj(source, target, 1 << 20)
    path.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def folders(runs: Path) -> list[Path]:
    """The folders of all runs in a folder, the oldest first."""
    return sorted(path.parent for path in runs.glob("*/manifest.json") if path.parent.name != "latest")


def find_run(runs: Path, name: str) -> RunFolder:
    """The run that `name` means: a path, the beginning of an id, or -1 for the newest, -2 for the one before.

    RunError names the runs that there are.
    """
    if not name:
        raise RunError("a run has a name: its path, the beginning of its id, or -1 for the newest")
    with contextlib.suppress(OSError):  # too long for a path
        if (Path(name) / "manifest.json").exists():
            return RunFolder(Path(name))
    there = [path.name for path in folders(runs)]
    if not there:
        raise RunError(f"no runs in {runs}; make one with: migrascope run")
    if name.startswith("-") and _NUMBER.fullmatch(name[1:]) and int(name[1:]) <= len(there):
        return RunFolder(runs / there[-int(name[1:])])
    matches = [run for run in there if run.startswith(name)]
    if len(matches) == 1:
        return RunFolder(runs / matches[0])
    what = f"{name!r} fits {len(matches)} runs" if matches else f"no run {name!r}"
    raise RunError(f"{what} in {runs}; there are: {', '.join(matches or there[-5:])}")
