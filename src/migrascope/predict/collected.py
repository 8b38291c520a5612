"""The trials of runs as rows of one table: what was set, sampled and measured in each, and what it is for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.metrics.migration import rounds
from migrascope.metrics.windows import event_of
from migrascope.model.policy import Policy
from migrascope.predict.dataset import SCHEMA, BadDataset, keep, row_of, table_of
from migrascope.predict.recorded import outcome_of, points_of, request_of
from migrascope.predict.request import NotPredicted
from migrascope.predict.runs import cell_of
from migrascope.predict.trials import Trial, split_of
from migrascope.store.recording import DAMAGED, Recording
from migrascope.store.runfolder import RunFolder, machine_text

NS = 1e9
FILE = "trials.parquet"
KEY = ["run", "trial"]
SET, METRIC = "set.", "metric."
"""What the columns of factors and of metrics begin with: both have names that the model's columns have, too."""
ABOUT: dict[str, type[pl.DataType]] = {
    "trial": pl.Int64, "block": pl.Int64, "status": pl.String, "reason": pl.String, "verdict": pl.String,
    "machine": pl.String, "qemu": pl.String, "beside": pl.String, "settings": pl.String, "facts": pl.String,
    "sampling_s": pl.Float64, "round_log": pl.String, "at_least": pl.String, "missing": pl.String,
}  # fmt: skip
"""What is said of each trial beside SCHEMA, its factors and its metrics."""


class NotSampled(NotPredicted):
    """A run of which no trial was sampled."""


def collect(run: RunFolder, path: Path, beside: str) -> tuple[int, pl.DataFrame]:
    """Adds to a table those trials of a run that are not in it, and gives how many, and the whole table. beside: what
    else the machine did meanwhile. Rows that are there stay as they are. NotSampled where no trial was sampled."""
    there = table_of(path) if path.exists() else pl.DataFrame(schema=SCHEMA | {"trial": pl.Int64})
    if "trial" not in there.columns:
        raise BadDataset(f"{path}: it has no column trial, so that what it holds of a run cannot be known")
    known = set(there.select(KEY).rows())
    rows = [row for row in _rows(run, beside) if (row["run"], row["trial"]) not in known]
    if not rows:
        return 0, there
    kinds = {name: SCHEMA.get(name) or ABOUT.get(name) for row in rows for name in row}
    schema = {name: kind or _kind(name, rows) for name, kind in kinds.items()}
    whole = pl.concat([there, pl.DataFrame(rows, schema=schema)], how="diagonal_relaxed")
    keep(path, whole)
    return len(rows), whole


def _kind(name: str, rows: list[dict[str, Any]]) -> type[pl.DataType]:
    """Of a factor or a metric: text where it has some, else a number."""
    return pl.String if any(isinstance(row.get(name), str) for row in rows) else pl.Float64


def _rows(run: RunFolder, beside: str) -> Iterator[dict[str, Any]]:
    """A row for each trial whose recording is whole."""
    policies = run.plan().chosen_policies()
    results = [result for result in analyse(run).trials if result.facts.status != DAMAGED]
    recordings = [Recording(run.trial(result.facts.number)) for result in results]
    if all(recording.table("sample").is_empty() for recording in recordings):
        raise NotSampled(
            f"no trial of run {run.id} was sampled before its migration; set probes.dirty = true in the plan"
        )
    machine = machine_of(run.manifest)
    for result, recording in zip(results, recordings, strict=True):
        about = _about(result, recording) | {"machine": machine, "beside": beside}
        yield _model(run.id, result, recording, policies.get(result.facts.factors.policy)) | about


def machine_of(manifest: dict[str, Any]) -> str:
    """The machine of a run, and its kernel."""
    return f"{machine_text(manifest)}, Linux {manifest.get('environment', {}).get('kernel', '')}"


def _model(run: str, result: TrialResult, recording: Recording, policy: Policy | None) -> dict[str, Any]:
    """The columns for a model: all of them, or why the trial is none for it and what is known of it nevertheless."""
    facts, factors, cell = result.facts, result.facts.factors, cell_of(result)
    split = split_of(cell, factors.write_pattern, factors.link_bps)
    measured = outcome_of(facts.status, result.metrics)
    row = dict.fromkeys(SCHEMA) | {
        "run": run, "cell": cell, "split": split, "accelerator": str(facts.facts.get("accelerator", "unknown")),
    }  # fmt: skip
    try:
        points = points_of(recording)
        row["dirty"] = json.dumps(points)
        if policy is None:
            raise NotPredicted("cannot be predicted, because nothing is known of how the command migrates")
        request = request_of(recording, policy)
    except NotPredicted as error:
        return row | {"why": str(error)}
    if measured is None:
        return row | {"why": f"its migration failed, and nobody knows whether it would have ended: {facts.reason}"}
    return row_of(Trial(cell, request, measured, split), points, run)


def _about(result: TrialResult, recording: Recording) -> dict[str, Any]:
    """All else that was set and measured."""
    facts = result.facts
    cut = [key for key, measured in result.metrics.items() if measured.at_least]
    missing = {key: measured.reason for key, measured in result.metrics.items() if measured.value is None}
    return {
        "trial": facts.number, "block": facts.block, "status": facts.status, "reason": facts.reason,
        "verdict": result.judgement.verdict, "qemu": str(facts.facts.get("qemu", "unknown")),
        "settings": json.dumps(facts.settings), "facts": json.dumps(facts.facts),
        "sampling_s": _sampling_s(recording), "round_log": json.dumps(_round_log(recording)), "at_least": " ".join(cut),
        "missing": json.dumps(missing),
        **{f"{SET}{name}": _plain(value) for name, value in vars(facts.factors).items()},
        **{f"{METRIC}{key}": _plain(measured.value) for key, measured in result.metrics.items()},
    }  # fmt: skip


def _plain(value: float | str | None) -> float | str | None:
    return value if isinstance(value, str) or value is None else float(value)


def _sampling_s(recording: Recording) -> float | None:
    """From the first question to the last answer; None where nothing was answered."""
    asked = recording.table("sample").filter(pl.col("answered_ns") > 0)
    if asked.is_empty():
        return None
    return float(asked["answered_ns"].to_numpy().max() - asked["asked_ns"].to_numpy().min()) / NS


def _round_log(recording: Recording) -> list[list[float | None]]:
    """Number, seconds since the request, dirty rate (B/s) and throttle (ratio) of each round; a null was not told."""
    request = event_of(recording, "migrate_request")
    if request is None:
        return []
    return [
        [each.number, (each.start_ns - request.mono_ns) / NS, each.dirty_rate_Bps, each.throttle]
        for each in rounds(recording)
    ]
