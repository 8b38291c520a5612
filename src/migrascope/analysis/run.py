"""A run folder, recomputed: every number from the recorded tables alone."""

import reprlib
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from migrascope.analysis.cells import summarise
from migrascope.analysis.limit import limited
from migrascope.analysis.results import TrialResult
from migrascope.analysis.summary import Summary
from migrascope.metrics.checks import checks
from migrascope.metrics.trial import examine
from migrascope.metrics.verdict.judge import judge
from migrascope.metrics.verdict.recorded import evidence_of
from migrascope.model.calibration import Calibration
from migrascope.model.measured import missing
from migrascope.model.schedule import TrialSpec, schedule
from migrascope.model.verdict import VERDICTS
from migrascope.store.document import read_object
from migrascope.store.recording import DAMAGED, Damaged, Recording, TrialFacts
from migrascope.store.runfolder import RunFolder

CALIBRATION = "calibration.json"
"""In the run folder: the calibration of the machine that the run was made on, as calibrate stores it."""


def analyse(run: RunFolder) -> Summary:
    """Measures every sealed trial and summarises the run. A trial whose recording is damaged is in it, without a
    figure. Damaged where a file of the run itself is."""
    made = run.plan()
    load = run.load() or made.full_load()
    plan = made.loaded(load).base_units()
    specs = {spec.number: spec for spec in schedule(made)}
    numbers = sorted(run.finished() & set(specs))
    results = [_result(run.trial(number), specs[number], plan) for number in numbers]
    return summarise(run.manifest, plan, results, _calibration(run.path / CALIBRATION), load)


def _calibration(path: Path) -> Calibration | None:
    if not path.exists():
        return None
    try:
        return Calibration.of(read_object(path))
    except (OSError, ValueError) as error:
        raise Damaged(f"{path}: {error}; without the file the run can be read") from error


def _result(folder: Path, spec: TrialSpec, plan: dict[str, Any]) -> TrialResult:
    """The numbers of a trial, or why there are none: its recording is not what was written. Its plan is the run's: what
    is said over all trials rests on no plan that stands in one of them."""
    try:
        recording = Recording(folder)
        recording.verify()
        _need_same(recording, spec)
        result = result_of(recording)
        return replace(result, facts=replace(result.facts, plan=plan))
    except Damaged as error:
        words = str(error)
    except (Exception, pl.exceptions.PanicException) as error:  # a recording of somebody else's may hold anything
        where = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(where.filename).name}:{where.lineno}"
        words = f"{folder}: no figure can be computed from it: {reprlib.repr(error)}, at {at}"
    facts = TrialFacts(
        spec.number, spec.block, spec.factors, spec.source, spec.destination, "", "", DAMAGED, words, plan
    )
    nothing = result_of(Recording(folder / "damaged", trial=facts))
    metrics = {
        key: missing(measured.unit, measured.source, "the recording is damaged")
        for key, measured in nothing.metrics.items()
    }
    return replace(nothing, metrics=metrics)


def _need_same(recording: Recording, spec: TrialSpec) -> None:
    """Damaged where it is the recording of another plan's trial."""
    found = recording.trial
    if (found.number, found.factors) != (spec.number, spec.factors):
        raise Damaged(f"{recording.folder}: it is no recording of trial {spec.number} of this run's plan")


def result_of(recording: Recording) -> TrialResult:
    """One recording's numbers."""
    seen = examine(recording)
    facts = recording.trial
    judgement = judge(evidence_of(recording))
    return TrialResult(
        facts,
        seen.metrics,
        limited(seen.metrics),
        judgement,
        seen.warnings,
        checks(recording, seen.metrics, seen.windows),
        seen.shown,
    )


def worse_than_allowed(summary: Summary) -> list[int]:
    """Numbers of the trials whose verdict is worse than the plan allows."""
    allowed = VERDICTS.index(summary.plan["verdict"]["allow"])
    return [trial.facts.number for trial in summary.trials if VERDICTS.index(trial.judgement.verdict) > allowed]
