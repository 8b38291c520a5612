"""Helpers for tests on the fake lab: a trial recorded from a script whose truths are known."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from migrascope.analysis.cells import summarise
from migrascope.analysis.summary import Summary
from migrascope.lab.fake.script import Script
from migrascope.model.plan import Plan
from migrascope.model.schedule import Factors, TrialSpec
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of

SCRIPT = Script(
    precopy_s=1.5,
    pause_s=0.2,
    reported_downtime_s=0.16,
    gap_s=0.26,
    lost_s=0.2,
    data_bytes=150_000_000,
    rounds=4,
    dirty_rate_Bps=409_600.0,
    hold_s=1.3,
)
FACTORS = Factors("relay", "pre-copy", 2**30, 1e9, 0.3, "warm")
PLAN = Plan.model_validate({"blocks": 1, "probes": {"dirty": False}, "windows": {"before": "3s"}})


def light(**parts: Any) -> Plan:
    """A plan of these parts whose trials hold few packets and visits: for tests of what many trials say together."""
    few = {"probes": {"echo_rate": 50, "dirty": False}, "visitors": {"new_rate": 5, "kept_rate": 5, "viewers": 0}}
    return Plan.model_validate({**few, "windows": {"before": "1s"}, **parts})


def small_plan(folder: Path, *scenarios: str) -> str:
    """The path of a plan of one light trial for each of these scenarios: for tests of how a run goes as a command."""
    path = folder / "small.toml"
    path.write_text(text_of(light(blocks=1, axes={"scenario": scenarios})), encoding="utf-8")
    return str(path)


def record(
    folder: Path, plan: Plan = PLAN, factors: Factors = FACTORS, *, drop: tuple[str, ...] = (), **changes: Any
) -> Recording:
    """One sealed trial with SCRIPT's truths but for the changes, and without the tables in `drop`. The same truths make
    the same recording: it is made once, and each test has a copy."""
    key = repr((text_of(plan), factors, drop, sorted(changes.items())))
    if key not in _MADE:
        _MADE[key] = _recorded(Path(_KEPT.name), plan, factors, drop, replace(SCRIPT, **changes))
    folder.mkdir(parents=True, exist_ok=True)
    run = shutil.copytree(_MADE[key], tempfile.mkdtemp(dir=folder), dirs_exist_ok=True)
    return Recording(Path(run) / "trials/1")


def record_anew(folder: Path, plan: Plan = PLAN, factors: Factors = FACTORS, **changes: Any) -> Recording:
    """The same, made by the code as it is now: for tests that have changed it."""
    return Recording(_recorded(folder, plan, factors, (), replace(SCRIPT, **changes)) / "trials/1")


_KEPT = tempfile.TemporaryDirectory()
_MADE: dict[str, Path] = {}


def _recorded(folder: Path, plan: Plan, factors: Factors, drop: tuple[str, ...], script: Script) -> Path:
    run = RunFolder.create(folder, text_of(plan), {})
    opened = run.open_trial(1)
    facts = FakeTrials(plan, lambda _: script).run_now(TrialSpec(1, 1, factors, "host-a", "host-b"), opened)
    for table in drop:
        for path in opened.glob(f"{table}@*"):
            path.unlink()
    run.seal_trial(opened, facts)
    return run.path


def in_blocks(run: Summary, blocks: int) -> Summary:
    """The trials of a run of one block as those of so many: for tests that set the figures which they are about."""
    each = len(run.trials)
    trials = [
        replace(trial, facts=replace(trial.facts, block=1 + block, number=each * block + trial.facts.number))
        for block in range(blocks)
        for trial in run.trials
    ]
    return summarise(run.environment, run.plan | {"blocks": blocks}, trials, None)
