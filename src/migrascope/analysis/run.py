"""A run folder, recomputed: every number from the recorded tables alone."""

import json
import tomllib

from migrascope.analysis.cells import summarise
from migrascope.analysis.limit import limited
from migrascope.analysis.summary import Summary, TrialResult
from migrascope.metrics.checks import checks
from migrascope.metrics.trial import examine
from migrascope.metrics.verdict.judge import judge
from migrascope.metrics.verdict.recorded import evidence_of
from migrascope.model.plan import Plan
from migrascope.model.verdict import VERDICTS
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder

CALIBRATION = "calibration.json"
"""In the run folder: {"rows": [...]}, the calibration of the machine that the run was made on."""


def analyse(run: RunFolder) -> Summary:
    """Measures every sealed trial and summarises the run. OSError or ValueError where a file of it is not readable."""
    planned = Plan.model_validate(tomllib.loads((run.path / "plan.toml").read_text(encoding="utf-8")))
    load = run.load() or planned.full_load()
    plan = planned.loaded(load).base_units()
    results = [result_of(recording) for recording in run.recordings()]
    path = run.path / CALIBRATION
    calibration = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else None
    return summarise(run.manifest, plan, results, calibration, load)


def result_of(recording: Recording) -> TrialResult:
    """One recording's numbers."""
    seen = examine(recording)
    facts = recording.trial
    judgement = judge(evidence_of(recording))
    return TrialResult(
        facts,
        seen.metrics,
        limited(facts.factors, seen.metrics),
        judgement,
        seen.warnings,
        checks(recording, seen.metrics, seen.windows),
    )


def worse_than_allowed(summary: Summary) -> list[int]:
    """Numbers of the trials whose verdict is worse than the plan allows."""
    allowed = VERDICTS.index(summary.plan["verdict"]["allow"])
    return [trial.facts.number for trial in summary.trials if VERDICTS.index(trial.judgement.verdict) > allowed]
