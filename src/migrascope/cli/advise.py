"""`advise`: which way of migrating is best for a guest, of what its user minds."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli.console import Json, Runs, stdout
from migrascope.cli.output import print_json
from migrascope.cli.predict import Data, predictor_for
from migrascope.model.policy import BUILT_IN
from migrascope.model.problem import UsageProblem
from migrascope.predict.advice import Mind, Wish, advised, as_json, lines
from migrascope.predict.recorded import request_of
from migrascope.predict.request import NotPredicted
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder, find_run


def advise(
    run: str = "-1",
    /,
    *,
    trial: Annotated[int | None, Parameter(help="Its number; by default the last that was sampled.")] = None,
    mind: Annotated[Mind, Parameter(help="What the migration should cost the least of.")] = "blackout",
    must_end_within: Annotated[float | None, Parameter(help="Seconds; by default the plan's limit.")] = None,
    never_lose_guest: Annotated[bool, Parameter(negative="", help="No post-copy.")] = False,
    data: Data = None,
    json: Json = False,
    runs: Runs = Path("runs"),
) -> int:
    """Says which policy and downtime limit would cost the guest of a trial the least, by what was sampled before its
    migration (probes.dirty in a plan), and how they are set in QEMU, libvirt and Nova. 3 where nothing can be
    predicted.

    Parameters
    ----------
    run
        A path, the beginning of an id, or -1 for the newest.
    """
    if must_end_within is not None and not must_end_within > 0:
        raise UsageProblem(f"--must-end-within: {must_end_within:g} s are no time; give seconds above 0")
    folder = find_run(runs, run)
    predictor, based_on = predictor_for(folder, data)
    recording = _chosen(folder, trial)
    request = request_of(recording, BUILT_IN["pre-copy"])
    advice = advised(request, predictor, Wish(mind, must_end_within, never_lose_guest))
    if json:
        print_json(as_json(advice, based_on, recording.trial.number))
    else:
        for line in lines(advice, based_on):
            stdout().print(line, soft_wrap=True)
    return 0


def _chosen(run: RunFolder, number: int | None) -> Recording:
    """A trial's recording. NotPredicted where none was sampled, UsageProblem where it is not there."""
    there = sorted(run.finished())
    if number is not None:
        if number not in there:
            raise UsageProblem(f"--trial {number}: run {run.id} has no such trial that is over")
        return Recording(run.trial(number))
    for each in reversed(there):
        recording = Recording(run.trial(each))
        if not recording.table("sample").is_empty():
            return recording
    raise NotPredicted(
        f"cannot be predicted, because no trial of run {run.id} was sampled; set probes.dirty = true in the plan"
    )
