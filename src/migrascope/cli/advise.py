"""`advise`: which way of migrating is best for a guest, of what its user minds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from migrascope.analysis.run import analyse
from migrascope.cli.console import EXIT_INTERRUPTED, Json, Runs
from migrascope.cli.output import print_either
from migrascope.cli.predict import Data, chosen, known_for, of_running, predictor_for
from migrascope.cli.run import run_plan
from migrascope.cli.running import NEWEST, NOBODY, Asked, asks
from migrascope.model.plan import Plan
from migrascope.model.policy import BUILT_IN
from migrascope.model.problem import UsageProblem
from migrascope.model.schedule import Factors
from migrascope.predict import verified
from migrascope.predict.advice import Mind, Wish, advised, as_json, lines
from migrascope.predict.learnt import Predicts
from migrascope.predict.planned import guest_of
from migrascope.predict.recorded import request_of
from migrascope.predict.request import NotPredicted, Request
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder, find_run


def advise(
    name: str = NEWEST,
    /,
    *,
    trial: Annotated[
        int | None,
        Parameter(help="Its number, by default the last that was sampled; of a plan the cell's, as predict shows it."),
    ] = None,
    mind: Annotated[Mind, Parameter(help="What the migration should cost the least of.")] = "blackout",
    must_end_within: Annotated[float | None, Parameter(help="Seconds; by default the plan's limit.")] = None,
    never_lose_guest: Annotated[bool, Parameter(negative="", help="No post-copy.")] = False,
    asked: Asked = NOBODY,
    verify: Annotated[
        bool,
        Parameter(negative="", help="Run it against QEMU's and Nova's defaults in six blocks: was it right?"),
    ] = False,
    data: Data = None,
    json: Json = False,
    runs: Runs = Path("runs"),
) -> int:
    """Says which policy and downtime limit would cost the guest of a trial the least, by what was sampled before its
    migration (probes.dirty in a plan), and how they are set in QEMU, libvirt and Nova; or the guest of a plan, by
    earlier trials (--data); or one that runs now, which is sampled for 7 s and not changed (--hosts, or --cloud, and
    --link). 3 where nothing can be predicted, or --verify leaves it open; 1 where it shows the advice to be wrong.

    Parameters
    ----------
    name
        A run: a path, the beginning of an id, or -1 for the newest. Or a plan: a built-in one or a TOML file.
    """
    if must_end_within is not None and not must_end_within > 0:
        raise UsageProblem(f"--must-end-within: {must_end_within:g} s are no time; give seconds above 0")
    wish = Wish(mind, must_end_within, never_lose_guest)
    plan = chosen(name, None, asked)
    if asks(asked, plan):
        if trial is not None or verify:
            raise UsageProblem("--trial, --verify: they are of a run or a plan; leave them out, or --hosts and --cloud")
        return of_running(asked, plan, data, wish, json=json, settings=True)
    guest = _of_run(find_run(runs, name), trial, data) if plan is None else _of_plan(plan, trial, data, runs)
    advice = advised(guest.request, guest.predictor, wish)
    test = verified.verifying(guest.plan, guest.factors, advice.best, wish) if verify else None
    if test is None or not json:  # of a verified one the one document is what was measured
        print_either(
            lambda: as_json(advice, guest.based_on, guest.trial), lambda: lines(advice, guest.based_on), json=json
        )
    return 0 if test is None else _verified(test, mind, runs, json=json)


@dataclass(frozen=True)
class _Guest:
    """Whose migration advice is about. plan, factors: how it is made again; trial: its number in a run, or its cell's
    in a plan, None for the only guest of a plan."""

    request: Request
    predictor: Predicts
    based_on: str
    plan: Plan
    factors: Factors
    trial: int | None


def _of_run(run: RunFolder, number: int | None, data: Path | None) -> _Guest:
    predictor, based_on = predictor_for(run, data)
    recording = _chosen(run, number)
    request = request_of(recording, BUILT_IN["pre-copy"])
    return _Guest(request, predictor, based_on, run.plan(), recording.trial.factors, recording.trial.number)


def _of_plan(plan: Plan, number: int | None, data: Path | None, runs: Path) -> _Guest:
    known, predictor, based_on = known_for(plan, data, runs)
    factors = guest_of(plan, number)
    request, _ = known.request(factors, BUILT_IN["pre-copy"])
    return _Guest(request, predictor, based_on, plan, factors, number)


def _verified(plan: Plan, mind: Mind, runs: Path, *, json: bool) -> int:
    """Runs it, and says whether the advice was right: 0, 1 where it was wrong, 3 where that is open."""
    done = run_plan(plan, runs)
    if done is None:
        return EXIT_INTERRUPTED
    found = verified.compared(analyse(done).trials, mind)
    print_either(lambda: verified.as_json(done.id, found), lambda: verified.lines(found, mind), json=json)
    return {True: 0, False: 1, None: NotPredicted.code}[verified.right(found)]


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
