"""Guests as earlier trials saw them before they migrated: what they held, and what they dirtied."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from migrascope.mechanism.dirtying import Dirty
from migrascope.model.schedule import Factors
from migrascope.predict.collected import SET, machine_of
from migrascope.predict.recorded import held_of, points_of
from migrascope.predict.request import NotPredicted
from migrascope.store.recording import Damaged, Recording
from migrascope.store.runfolder import RunError, RunFolder, folders

LOAD = (
    "scenario", "memory_bytes", "cache", "resident_bytes", "vcpus", "write_Bps", "write_set_bytes", "write_pattern",
)  # fmt: skip
"""The factors by which a guest holds and dirties what it does."""


@dataclass(frozen=True)
class Seen:
    """The guest of one trial. load: its factors of LOAD; points: D(t) as it was sampled."""

    run: str
    trial: int
    lab: str
    accelerator: str
    machine: str
    load: tuple[Any, ...]
    held_bytes: float
    points: tuple[Dirty, ...]


def load_of(factors: Factors) -> tuple[Any, ...]:
    """What tells guests of one load from others."""
    return tuple(getattr(factors, name) for name in LOAD)


def in_table(table: pl.DataFrame) -> Iterator[Seen]:
    """The guests of a table of trials. NotPredicted where it does not say what is needed."""
    if missing := {"facts", "machine", "trial", *(SET + name for name in LOAD)} - set(table.columns):
        raise NotPredicted(
            f"cannot be predicted, because the table does not say of its trials {', '.join(sorted(missing))}; "
            "write one with migrascope data RUN"
        )
    for row in table.filter(pl.col("dirty").is_not_null() & pl.col("held_bytes").is_not_null()).iter_rows(named=True):
        lab = json.loads(row["facts"] or "{}").get("lab")
        points = tuple(Dirty(*point) for point in json.loads(row["dirty"]))
        load = tuple(row[SET + name] for name in LOAD)
        yield Seen(
            row["run"], row["trial"], str(lab), row["accelerator"], row["machine"] or "", load, row["held_bytes"],
            points,
        )  # fmt: skip


def in_runs(runs: Path) -> Iterator[Seen]:
    """The guests of all runs in a folder, whatever became of their migrations. A run or a trial that cannot be read has
    none."""
    for path in folders(runs):
        with contextlib.suppress(RunError):
            yield from _in_run(RunFolder(path))


def _in_run(run: RunFolder) -> Iterator[Seen]:
    for number in sorted(run.finished()):
        try:
            recording = Recording(run.trial(number))
            facts, points, held = recording.trial.facts, tuple(points_of(recording)), held_of(recording)
        except (Damaged, NotPredicted):
            continue
        yield Seen(
            run.id, number, str(facts.get("lab")), str(facts.get("accelerator", "unknown")), machine_of(run.manifest),
            load_of(recording.trial.factors), held, points,
        )  # fmt: skip


def once(found: Iterable[Seen]) -> list[Seen]:
    """Each trial once, in their order: one may be in a run's folder and in a table."""
    return list({(seen.run, seen.trial): seen for seen in found}.values())
