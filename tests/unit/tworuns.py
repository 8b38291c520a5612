"""Two runs of the fake lab that differ in the length of their pauses; each is made once."""

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from faketrial import SCRIPT, light

from fakerun import fake_run
from migrascope.analysis.cells import summarise
from migrascope.analysis.results import TrialResult
from migrascope.analysis.summary import Summary
from migrascope.lab.fake.script import Script
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec
from migrascope.store.runfolder import RunFolder

AXES = {"scenario": ["none"]}
_KEPT = tempfile.TemporaryDirectory()


def plan(blocks: int = 6, **axes: Any) -> Plan:
    return light(blocks=blocks, axes=AXES | axes)


def scripts(pause_s: float) -> Any:
    """Trials that pause so long, and some milliseconds more in each block."""

    def script(spec: TrialSpec) -> Script:
        pause = pause_s + 0.01 * spec.block
        return replace(SCRIPT, pause_s=pause, gap_s=pause + 0.05, lost_s=pause, reported_downtime_s=round(pause, 3))

    return script


@cache
def short_run() -> RunFolder:
    return fake_run(Path(_KEPT.name) / "short", plan(), scripts(0.2))


@cache
def long_run() -> RunFolder:
    return fake_run(Path(_KEPT.name) / "long", plan(policy=["xbzrle"]), scripts(0.3))


def of_trials(run: Summary, trials: list[TrialResult]) -> Summary:
    """The run with these trials instead of its own."""
    return summarise(run.environment, run.plan | {"blocks": len(trials)}, trials, None)
