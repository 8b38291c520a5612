"""calibrate: the meter against known truths, on this machine, kept for the reports to quote."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from migrascope.analysis.accuracy import accuracy
from migrascope.model.calibration import CONDITIONS, Condition
from migrascope.model.plan import Plan
from migrascope.node.paths import STATE
from migrascope.store.atomic import write_json
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.images import Images
from migrascope.study.labs.labs import Progress, qemu_lab
from migrascope.study.plans import text_of
from migrascope.study.runs.environment import CALIBRATION, manifest
from migrascope.study.runs.load import Chooser, KeptLoads
from migrascope.trial.calibration_trial import Series, Truths

SCHEMA = 2
RECORDINGS = STATE / "calibrations"


async def calibrate(plan: Plan, images: Images, series: Series, progress: Progress) -> dict[str, Any]:
    """Records the truths, computes the rows, stores and gives them: what calibrate --json prints."""
    run = await record(plan, images, series, (plan.probes.echo_rate,), RECORDINGS, progress, CONDITIONS)
    load = run.load()
    assert load is not None
    result = {
        "schema": SCHEMA,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "lab": "qemu",
        **{key: run.manifest[key] for key in ("accelerator", "qemu", "environment")},
        "echo_rate": plan.probes.echo_rate * len(plan.families),
        "load": load.over(len(plan.families)).as_json(),
        "recording": str(run.path),
        "rows": [row for recording in run.recordings() for row in accuracy(recording)],
    }
    write_json(CALIBRATION, result)
    return result


async def record(
    plan: Plan,
    images: Images,
    series: Series,
    echo_rates: tuple[float, ...],
    parent: Path,
    progress: Progress,
    conditions: Sequence[Condition],
) -> RunFolder:
    """A run folder in `parent` with a trial for each condition: the truths and what the probes saw of them.

    Who is held up comes at the plan's full rate while the guest is idle, since a server of ours answers; and with the
    load that fits beside the guest's own while it is loaded."""
    async with qemu_lab(plan, images, progress) as (lab, up):
        load = plan.full_load()
        if any(condition.load == "loaded" for condition in conditions):
            load = await Chooser(plan, up, progress, KeptLoads()).choose()
        run = RunFolder.create(parent, text_of(plan), manifest(series.seed, "calibrate", **up.facts))
        run.keep_load(load)
        for number, condition in enumerate(conditions, start=1):
            minutes = series.seconds(condition) / 60
            progress.step(f"{condition.words()}: cutting, pausing and holding answers back; about {minutes:.1f} min")
            opened = run.open_trial(number)
            borne = load if condition.load == "loaded" else plan.full_load()
            truths = Truths(lab, plan.loaded(borne), series, echo_rates, condition)
            run.seal_trial(opened, await truths.make(number, opened))
    return run
