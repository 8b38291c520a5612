"""A sealed trial, read back: what the metrics are computed from, and all that they may use."""

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from pydantic import TypeAdapter, ValidationError

from migrascope.model.clock import WallClock
from migrascope.model.events import Event
from migrascope.model.family import FIRST, RECORDED_BY_FAMILY, SECOND, Family, source_of
from migrascope.model.postcheck import PostCheck
from migrascope.model.problem import COMMAND_LINE, Problem
from migrascope.model.schedule import Factors
from migrascope.model.tables import CONSTANTS, TABLES, Kind
from migrascope.store.document import open_regular, read_object
from migrascope.store.events import read_events

T = TypeVar("T")
SCHEMA = 1
DAMAGED = "damaged"
LEDGER, VOLUME = "ledger", "volume.json"
"""Files of a trial: the ledger as the volume held it, and what else an examination of the volume found."""
_TYPES: dict[Kind, type[pl.DataType]] = {"int": pl.Int64, "float": pl.Float64, "str": pl.String, "bool": pl.Boolean}


def polars_schema(name: str) -> dict[str, type[pl.DataType]]:
    """The columns of a sealed table, the constant ones last."""
    columns = {column: _TYPES[kind] for column, kind in TABLES[name].columns.items()}
    return columns | dict.fromkeys(CONSTANTS, pl.String)


@dataclass(frozen=True)
class TrialFacts:
    """trial.json: what was set, what came of it, and what the environment was.

    status: "ok", "failed" (with its reason), "not-converged", or "overloaded": the machine did not keep up with the
    load, and nothing was migrated. Never on disk: "damaged", where the recording is not what was written. proof: each
    check that the guest which answers is the one that was moved, as {name: {"verdict": pass|fail|unknown, "evidence":
    text}}. settings: every migration capability and parameter that was set, and the rate of each link (bit/s, None
    where there is no limit). plan: the whole plan as it ran, in base units. facts: lab, accelerator, QEMU version, host
    facts. tables: rows of each. files: bytes and sha256 of each other file of the trial. checksum: SHA-256 of all the
    rest of trial.json (see `sealed`).
    """

    number: int
    block: int
    factors: Factors
    source: str
    destination: str
    instance: str
    migration: str
    status: str
    reason: str | None
    plan: dict[str, Any]
    proof: dict[str, PostCheck] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema: int = SCHEMA
    checksum: str = ""

    @property
    def briefly(self) -> str | None:
        """The reason without the command line of a program that ended, which would fill a screen."""
        return self.reason and self.reason.partition(COMMAND_LINE)[0]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TrialFacts":
        """ValueError where it is of another version, or not what was written."""
        if value.get("schema") != SCHEMA:
            raise ValueError(f"trial schema {value.get('schema')!r} is not known, only {SCHEMA}")
        if value.get("checksum") and value["checksum"] != _checksum(value):
            raise ValueError("it is not what was written: its checksum differs")
        return _FACTS.validate_python(value)

    def sealed(self) -> dict[str, Any]:
        """trial.json, with its checksum. Trials from before there were checksums have none."""
        value = json.loads(json.dumps(asdict(self)))
        return {**value, "checksum": _checksum(value)}


_FACTS: TypeAdapter[TrialFacts] = TypeAdapter(TrialFacts)


def _checksum(value: dict[str, Any]) -> str:
    rest = {key: inner for key, inner in value.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def digest(path: Path) -> dict[str, Any]:
    """Bytes and sha256 of a file. OSError where it cannot be read, ValueError where it is no regular file."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        return {"bytes": size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def parquet(table: pl.DataFrame) -> bytes:
    """A table as a Parquet file. In memory: polars hides what the kernel says where a disk is full."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


class Damaged(Problem):
    """A recording that is not what was written; the message names the file and what is wrong with it."""


def _read(path: Path, reader: Callable[[Path], T]) -> T:
    """What polars reads of a Parquet file. Damaged where that is none."""
    try:
        open_regular(path).close()
        return reader(path)
    except (OSError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise Damaged(f"{path}: {_first_line(error)}") from error


def _whole(path: Path) -> pl.DataFrame:
    """From memory, because polars takes half as long again for a small file that it reads by itself."""
    with open_regular(path) as file:
        return pl.read_parquet(file.read())


class Recording:
    """One sealed trial of a run: facts, events and tables. Damaged where its trial.json cannot be read.

    instance: only the rows of one instance of a fleet. trial: its facts, where they are known without its file. family:
    over which the rows were recorded that probes and visitors of both families write.
    """

    def __init__(
        self, folder: Path, instance: str | None = None, trial: TrialFacts | None = None, family: Family = FIRST
    ) -> None:
        self.folder, self._instance, self.family = folder, instance, family
        self._tables: dict[str, pl.DataFrame] = {}
        self._rows: dict[str, pl.DataFrame] = {}
        self.trial = trial or self._facts(folder / "trial.json")

    @staticmethod
    def _facts(path: Path) -> TrialFacts:
        try:
            return TrialFacts.from_json(read_object(path))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise Damaged(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        except (OSError, ValueError) as error:
            raise Damaged(f"{path}: {error}") from error

    def verify(self) -> None:
        """Damaged where a file of the trial is missing, or not what was written. Of tables without a checksum, as all
        were once, the rows are counted."""
        for name, wanted in self.trial.files.items():
            try:
                found = digest(self.folder / name)
            except OSError as error:
                raise Damaged(f"{self.folder / name}: {error.strerror}") from error
            except ValueError as error:
                raise Damaged(f"{self.folder / name}: {error}") from error
            if found != wanted:
                what = f"{found['bytes']} bytes of {wanted['bytes']}" if found["bytes"] < wanted["bytes"] else "changed"
                raise Damaged(f"{self.folder / name}: it is not what was written ({what})")
        for name, rows in self.trial.tables.items():
            path = self.folder / f"{name}.parquet"
            if path.name in self.trial.files:
                continue  # its bytes are those that were written
            there = _read(path, lambda path: pl.scan_parquet(path).select(pl.len()).collect().item())
            if there != rows:
                raise Damaged(f"{path}: {there} rows of {rows}")

    @cached_property
    def events(self) -> list[Event]:
        path = self.folder / "events.ndjson"
        try:
            return list(read_events(path)) if path.exists() else []
        except (OSError, ValueError) as error:
            raise Damaged(f"{path}: {str(error).splitlines()[0]}") from error

    def table(self, name: str) -> pl.DataFrame:
        """The table's rows in the order in which each source wrote them; empty, with its columns, if not recorded.
        Damaged where it is another table. It is read once: what is sealed does not change."""
        if name not in self._rows:
            self._rows[name] = self._own(name)
        return self._rows[name]

    def _own(self, name: str) -> pl.DataFrame:
        if name not in self._tables:
            self._tables[name] = self._table(name)
        rows = self._tables[name]
        if name in RECORDED_BY_FAMILY:
            second = pl.col("source").str.ends_with(source_of("", SECOND))
            rows = rows.filter(second if self.family == SECOND else ~second)
        return rows if self._instance is None else rows.filter(pl.col("instance") == self._instance)

    def _table(self, name: str) -> pl.DataFrame:
        path, kinds = self.folder / f"{name}.parquet", polars_schema(name)
        if not path.exists():
            return pl.DataFrame(schema=kinds)
        rows = _read(path, _whole)
        added = {column: value for column, value in TABLES[name].added.items() if column not in rows.columns}
        if added:
            rows = rows.with_columns(pl.lit(value, kinds[column]).alias(column) for column, value in added.items())
        found = rows.schema
        for column, kind in kinds.items():
            if found.get(column) != kind:
                raise Damaged(f"{path}: its column {column} is {found.get(column)}, not {kind}")
        return rows

    def of(self, instance: str) -> "Recording":
        """The same trial with the rows of one instance."""
        return self._same(instance, self.family)

    def over(self, family: Family) -> "Recording":
        """The same trial as it was recorded over an address family."""
        return self._same(self._instance, family)

    def _same(self, instance: str | None, family: Family) -> "Recording":
        same = Recording(self.folder, instance, self.trial, family)
        same._tables = self._tables
        return same

    @property
    def capture(self) -> Path | None:
        """The capture of the visitors' network, None where the trial has none."""
        return next((path for path in sorted(self.folder.glob("capture@*")) if path.name in self.trial.files), None)

    @cached_property
    def wall_clock(self) -> WallClock:
        """Turns wall stamps of this machine into monotonic ones. ValueError without a clock table or event."""
        pairs = self.table("clock").select("mono_ns", "wall_ns").rows()
        return WallClock(pairs or [(event.mono_ns, event.wall_ns) for event in self.events])
