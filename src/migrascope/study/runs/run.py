"""A run: every trial of a plan into a run folder, one after another, and again from where it stopped."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from migrascope.model.calibration import Calibration
from migrascope.model.load import Load
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec, schedule
from migrascope.node.lock import free
from migrascope.store.atomic import write_json
from migrascope.store.document import read_object
from migrascope.store.runfolder import LOCK, RunError, RunFolder
from migrascope.study.labs.hosts import guest_trials, hosts_trials
from migrascope.study.labs.images import Images
from migrascope.study.labs.labs import Progress, Up, address_trials, fake_trials, libvirt_trials, qemu_trials
from migrascope.study.plans import text_of
from migrascope.study.runs.environment import CALIBRATION, manifest
from migrascope.study.runs.expected import boot_of, expected_s
from migrascope.study.runs.load import Chooser, KeptLoads


@contextlib.contextmanager
def locked(run: RunFolder) -> Iterator[None]:
    """Only one process writes a run. RunError when another does."""
    with free(run.path / LOCK) as holder:
        if holder is not None:
            raise RunError(f"{holder} is writing {run.path}; wait for it, or stop it")
        yield


def _lab(plan: Plan, images: Images | None, progress: Progress, first: TrialSpec) -> AbstractAsyncContextManager[Up]:
    """What runs the plan's trials. first: the trial that comes first."""
    if plan.lab.kind == "openstack":
        from migrascope.study.labs.clouds import cloud_trials  # its libraries are an extra, and take a second

        return cloud_trials(plan, progress, first)
    if plan.lab.kind == "address":
        return address_trials(progress)
    if plan.libvirt.hosts:
        return hosts_trials(plan, progress) if plan.their_domain else guest_trials(plan, progress)
    if plan.lab.kind == "libvirt" and images is not None:
        return libvirt_trials(plan, images, progress)
    return fake_trials() if images is None else qemu_trials(plan, images, progress)


def _ignore(run: RunFolder) -> None:
    """Nobody waits for the run's folder."""


async def execute(
    plan: Plan,
    runs: Path,
    images: Images | None,
    progress: Progress,
    load: Load | None = None,
    begun: Callable[[RunFolder], None] = _ignore,
) -> RunFolder:
    """Runs a plan from its beginning into a new folder of `runs`. images: None for the fake lab. load: another run's,
    None for the plan's own, or what fits. begun: called with the run's folder as soon as it is made."""
    async with _lab(plan, images, progress, schedule(plan)[0]) as up:
        chooser = Chooser(plan, up, progress, KeptLoads())
        chosen = await chooser.choose(load)
        run = RunFolder.create(runs, text_of(plan), manifest(plan.seed, plan.name, **up.facts))
        begun(run)
        run.keep_load(chosen)
        _quote_calibration(run)
        with locked(run):
            await _rest(run, chooser, chosen)
    return run


async def resume(run: RunFolder, images: Images | None, progress: Progress) -> RunFolder:
    """Runs the trials of a run that are not finished. RunError when QEMU or accelerator are not those it began with."""
    plan = run.plan()
    left = _left(run, schedule(plan))
    if not left:
        return run
    with locked(run):
        async with _lab(plan, images, progress, left[0]) as up:
            for key, value in up.facts.items():
                if (had := run.manifest.get(key)) != value:
                    raise RunError(f"{run.path} ran with {key} {had}, here it is {value}; start a new run")
            chooser = Chooser(plan, up, progress, KeptLoads())
            load = run.load() or await chooser.choose()
            run.keep_load(load)
            await _rest(run, chooser, load)
    return run


def finished(run: RunFolder) -> bool:
    """Whether every trial of its plan is sealed."""
    return not _left(run, schedule(run.plan()))


def _left(run: RunFolder, specs: list[TrialSpec]) -> list[TrialSpec]:
    sealed = run.finished()
    return [spec for spec in specs if spec.number not in sealed]


async def _rest(run: RunFolder, chooser: Chooser, load: Load) -> None:
    """Runs what is not sealed. Where a load that was found does not fit the first trial, one is found again, once, and
    that trial begins again: none is sealed yet that had another."""
    plan, progress = chooser.plan, chooser.progress
    specs = schedule(plan)
    left = _left(run, specs)
    whole_s = expected_s(plan, left, boot_of(plan, run.path.parent).seconds)
    progress.plan(specs, len(specs) - len(left), whole_s / max(1, len(left)))
    run_trial = chooser.up.trials(plan.loaded(load))
    for spec in left:
        progress.trial_begins(spec)
        opened = run.open_trial(spec.number)
        facts = await run_trial(spec, opened)
        if not run.finished() and chooser.outgrown(load, facts):
            progress.step("the load that was found does not fit the first trial: both begin again")
            load = await chooser.choose()
            run.keep_load(load)
            run_trial = chooser.up.trials(plan.loaded(load))
            opened = run.open_trial(spec.number)
            facts = await run_trial(spec, opened)
        progress.trial_ends(run.seal_trial(opened, facts))


def _quote_calibration(run: RunFolder) -> None:
    """Copies this machine's stored calibration into the run, if it was made with the same accelerator."""
    try:
        stored = read_object(CALIBRATION)
        Calibration.of(stored)
    except (OSError, ValueError):
        return
    if stored.get("accelerator") == run.manifest["accelerator"]:
        write_json(run.path / "calibration.json", stored)
