"""calibrate: the meter against known truths, on this machine, kept for the reports to quote."""

import time
from pathlib import Path
from typing import Any

from migrascope.analysis.accuracy import accuracy
from migrascope.lab.qemu.lab import QemuLab
from migrascope.model.plan import Plan
from migrascope.node.paths import STATE
from migrascope.store.atomic import write_json
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.images import Images
from migrascope.study.labs.labs import Progress
from migrascope.study.plans import text_of
from migrascope.study.runs.environment import manifest
from migrascope.study.runs.run import CALIBRATION
from migrascope.trial.calibration_trial import Series, make_truths

SCHEMA = 1
RECORDINGS = STATE / "calibrations"


async def calibrate(plan: Plan, images: Images, series: Series, progress: Progress) -> dict[str, Any]:
    """Records the truths, computes the rows, stores and gives them: what calibrate --json prints."""
    run = await record(plan, images, series, (plan.probes.echo_rate,), RECORDINGS, progress)
    recording = run.recordings()[0]
    result = {
        "schema": SCHEMA,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "lab": "qemu",
        **{key: run.manifest[key] for key in ("accelerator", "qemu", "environment")},
        "echo_rate": plan.probes.echo_rate,
        "recording": str(run.path),
        "rows": accuracy(recording),
    }
    write_json(CALIBRATION, result)
    return result


async def record(
    plan: Plan, images: Images, series: Series, echo_rates: tuple[float, ...], parent: Path, progress: Progress
) -> RunFolder:
    """A run folder in `parent` whose only trial holds the truths and what the probes saw of them.

    The visitors come at their full rate: a server of ours answers them, and no guest."""
    plan = plan.loaded(plan.full_load())
    progress.step("bringing up the lab")
    wanted, program = plan.lab.accelerator, plan.lab.qemu_program
    async with QemuLab.up(images.host_root, images.boot, wanted=wanted, program=program) as lab:
        facts = lab.facts | {"guest": images.guest}
        run = RunFolder.create(parent, text_of(plan), manifest(series.seed, "calibrate", **facts))
        minutes = (series.interruptions_s() + series.holds_s()) / 60
        progress.step(f"cutting and pausing, then holding answers back; about {minutes:.1f} min")
        opened = run.open_trial(1)
        trial = await make_truths(lab, plan, opened, series, echo_rates)
        run.seal_trial(opened, trial)
    return run
