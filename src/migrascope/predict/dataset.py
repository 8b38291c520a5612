"""Trials as one Parquet table: a row each, with what was known before its migration, what came of it, and its split."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

from migrascope.mechanism.dirtying import Dirty
from migrascope.mechanism.rules import Step
from migrascope.model.policy import AutoConverge, Moment
from migrascope.model.problem import UsageProblem
from migrascope.predict.request import Guest, NotPredicted, Request, Settings
from migrascope.predict.trials import SPLITS, Outcome, Split, Trial
from migrascope.store.atomic import write_whole

SCHEMA: dict[str, type[pl.DataType]] = {
    "run": pl.String, "why": pl.String,
    "cell": pl.String, "split": pl.String, "accelerator": pl.String, "memory_bytes": pl.Float64,
    "held_bytes": pl.Float64, "dirty": pl.String, "link_Bps": pl.Float64, "form": pl.String, "limits": pl.String,
    "deadline_s": pl.Float64, "slows": pl.String, "turns": pl.String, "paused": pl.String, "wire": pl.Float64,
    "again": pl.Float64, "channel_Bps": pl.Float64, "connections": pl.Int64, "bound_Bps": pl.Float64,
    "ended": pl.Boolean, "time_s": pl.Float64, "pause_s": pl.Float64,
    "data_bytes": pl.Float64, "rounds": pl.Int64, "throttle": pl.Float64,
}  # fmt: skip
"""run: its id. why: what keeps the trial from being one for a model; empty where nothing does, else the columns after
it may be null. dirty: [[period in s, bytes], ...]; limits: [[from, limit], ...] in s; slows: [initial, increment,
maximum] in per cent; turns and paused: [after so many rounds, after so many s]; all JSON, null where there is none."""
LATER = ("bound_Bps",)
"""Columns that tables of earlier versions do not have: null there."""


class BadDataset(UsageProblem):
    """A file that is no table of trials; the message names it and what is wrong."""


def row_of(trial: Trial, points: Sequence[Dirty], run: str = "") -> dict[str, Any]:
    """A row. points: what its D(t) was fitted to. run: the id of the run that it is of."""
    request, settings = trial.request, trial.request.settings
    slows = settings.slows
    return {
        "run": run, "why": "",
        "cell": trial.cell, "split": trial.split, "accelerator": request.accelerator,
        "memory_bytes": request.guest.memory_bytes, "held_bytes": request.guest.held_bytes,
        "dirty": json.dumps(points), "link_Bps": request.link_Bps, "form": settings.form,
        "limits": json.dumps([(step.at_s, step.limit_s) for step in settings.limits]),
        "deadline_s": settings.deadline_s,
        "slows": json.dumps([slows.initial, slows.increment, slows.maximum]) if slows is not None else None,
        "turns": _moment_json(settings.turns), "paused": _moment_json(settings.paused), "wire": settings.wire,
        "again": settings.again, "channel_Bps": settings.channel_Bps,
        "connections": settings.connections, "bound_Bps": settings.bound_Bps, **vars(trial.outcome),
    }  # fmt: skip


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes the table as a whole."""
    keep(path, pl.DataFrame(list(rows), schema=SCHEMA))


def keep(path: Path, table: pl.DataFrame) -> None:
    """Writes a table of trials, which may have more columns."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", compression_level=19)
    write_whole(path, buffer.getvalue())


def table_of(path: Path) -> pl.DataFrame:
    """The table with all of its columns. BadDataset where it is none of trials."""
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadDataset(f"{path} cannot be read: {next(iter(str(error).splitlines()), '')}") from error
    absent = [pl.lit(None, SCHEMA[name]).alias(name) for name in LATER if name not in frame.columns]
    frame = frame.with_columns(absent)
    for name, kind in SCHEMA.items():
        if frame.schema.get(name) != kind:
            raise BadDataset(f"{path}: its column {name} is {frame.schema.get(name)}, not {kind}")
    return frame


def trials_of(table: pl.DataFrame, path: Path, *, without: str | None = None) -> list[Trial]:
    """The trials for a model, in the table's order. path: where it is from. without: a run whose trials are left out.
    BadDataset where a row is none."""
    trials = []
    for number, row in enumerate(table.select(list(SCHEMA)).rows(named=True), start=1):
        if row["why"] or (without is not None and row["run"] == without):
            continue
        try:
            trials.append(_trial(row))
        except (ValueError, TypeError, NotPredicted) as error:
            raise BadDataset(f"{path}: row {number}: {error}") from error
    return trials


def read(path: Path, *, without: str | None = None) -> list[Trial]:
    """The same of a file. BadDataset where it is no table of trials."""
    return trials_of(table_of(path), path, without=without)


def _trial(row: dict[str, Any]) -> Trial:
    if row["split"] not in SPLITS:
        raise ValueError(f"split is {row['split']!r}, and none of {', '.join(SPLITS)}")
    points = [Dirty(*point) for point in json.loads(row["dirty"])]
    memory = row["memory_bytes"]
    guest = Guest.sampled(memory, row["held_bytes"], points)
    slows = json.loads(row["slows"]) if row["slows"] else None
    settings = Settings(
        row["form"], tuple(Step(*step) for step in json.loads(row["limits"])), row["deadline_s"],
        AutoConverge(initial=slows[0], increment=slows[1], maximum=slows[2]) if slows else None,
        _moment(row["turns"]), _moment(row["paused"]), row["wire"], row["again"], row["channel_Bps"],
        row["connections"], row["bound_Bps"],
    )  # fmt: skip
    outcome = Outcome(*(row[name] for name in ("ended", "time_s", "pause_s", "data_bytes", "rounds", "throttle")))
    request = Request(row["accelerator"], guest, row["link_Bps"], settings)
    return Trial(row["cell"], request, outcome, cast(Split, row["split"]))


def _moment_json(moment: Moment | None) -> str | None:
    return json.dumps([moment.after_round, moment.after]) if moment is not None else None


def _moment(text: str | None) -> Moment | None:
    if not text:
        return None
    after_round, after = json.loads(text)
    return Moment.model_construct(after_round=after_round, after=after)
