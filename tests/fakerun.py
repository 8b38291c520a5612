"""A whole run on the fake lab, for tests of what reads runs."""

from collections.abc import Callable
from pathlib import Path

from migrascope.lab.fake.script import Script
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec, schedule
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of

MANIFEST = {
    "lab": "fake",
    "accelerator": "none",
    "qemu": "none",
    "environment": {"cpu": "a test's machine", "cores": 2, "memory_bytes": 8 * 2**30},
    "kernel": "6.1",
}


def fake_run(folder: Path, plan: Plan, script: Callable[[TrialSpec], Script] | None = None) -> RunFolder:
    """Every trial of the plan, sealed; the same plan gives the same tables."""
    run = RunFolder.create(folder, text_of(plan), MANIFEST)
    trials = FakeTrials(plan, script)
    for spec in schedule(plan):
        opened = run.open_trial(spec.number)
        run.seal_trial(opened, trials.run_now(spec, opened))
    return run
