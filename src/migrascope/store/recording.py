"""A sealed trial, read back: what the metrics are computed from, and all that they may use."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from migrascope.model.clock import WallClock
from migrascope.model.events import Event
from migrascope.model.schedule import Factors
from migrascope.model.tables import CONSTANTS, TABLES, Kind
from migrascope.store.events import read_events

SCHEMA = 1
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
    load, and nothing was migrated. proof: each check that the guest which answers is the one that was moved, as
    {name: {"verdict": pass|fail|unknown, "evidence": text}}. settings: every migration
    capability and parameter that was set, and the rate of each link (bit/s, None where there is no limit). plan: the
    whole plan as it ran, in base units. facts: lab, accelerator, QEMU version, host facts. tables: rows of each. files:
    bytes and sha256 of each capture.
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
    proof: dict[str, dict[str, str]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    schema: int = SCHEMA

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TrialFacts":
        if value.get("schema") != SCHEMA:
            raise ValueError(f"trial schema {value.get('schema')!r} is not known, only {SCHEMA}")
        return cls(**{**value, "factors": Factors(**value["factors"])})


class Recording:
    """One sealed trial of a run: facts, events and tables. FileNotFoundError when the folder is none.

    instance: only the rows of one instance of a fleet.
    """

    def __init__(self, folder: Path, instance: str | None = None) -> None:
        self.folder, self._instance = folder, instance
        self.trial = TrialFacts.from_json(json.loads((folder / "trial.json").read_text(encoding="utf-8")))

    @cached_property
    def events(self) -> list[Event]:
        return list(read_events(self.folder / "events.ndjson"))

    def table(self, name: str) -> pl.DataFrame:
        """The table's rows in the order in which each source wrote them; empty, with its columns, if not recorded."""
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            return pl.DataFrame(schema=polars_schema(name))
        rows = pl.read_parquet(path)
        return rows if self._instance is None else rows.filter(pl.col("instance") == self._instance)

    def of(self, instance: str) -> "Recording":
        """The same trial with the rows of one instance."""
        return Recording(self.folder, instance)

    @property
    def capture(self) -> Path | None:
        """The capture of the visitors' network, None where the trial has none."""
        return next((path for path in sorted(self.folder.glob("capture@*")) if path.name in self.trial.files), None)

    @cached_property
    def wall_clock(self) -> WallClock:
        """Turns wall stamps of this machine into monotonic ones. ValueError without a clock table or event."""
        pairs = self.table("clock").select("mono_ns", "wall_ns").rows()
        return WallClock(pairs or [(event.mono_ns, event.wall_ns) for event in self.events])
