"""`predict`: what migrations cost, computed from what was known before them."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli.console import EXIT_INTERRUPTED, Json, Runs
from migrascope.cli.output import print_either
from migrascope.cli.running import NEWEST, NOBODY, Asked, asks, find
from migrascope.model.plan import Plan
from migrascope.model.problem import UsageProblem
from migrascope.predict import kept, planned, running
from migrascope.predict import runs as predicted_runs
from migrascope.predict.advice import Wish, advised
from migrascope.predict.baselines import MODELS
from migrascope.predict.collected import FILE, machine_of
from migrascope.predict.dataset import table_of
from migrascope.predict.fit import Fitted
from migrascope.predict.learnt import Learnt, Predicts, learnt
from migrascope.predict.loosely import Loosely
from migrascope.predict.parameters import Parameters
from migrascope.predict.planned import Known
from migrascope.predict.predictor import Predictor
from migrascope.predict.request import NotPredicted
from migrascope.predict.running import Answer
from migrascope.predict.score import Scored
from migrascope.predict.seen import in_runs, in_table
from migrascope.store.atomic import write_whole
from migrascope.store.runfolder import RunFolder, find_run
from migrascope.study.plans import Options, built_in, load
from migrascope.study.runs.environment import environment

UNFITTED = "QEMU's rule alone: it was fitted to no trials"
OWN = Path("data")
"""Where `migrascope data` writes: what is there is used where no other table is named."""
WEBSITE = "website"
"""The plan that `run` and `plan` take where none is named."""
Data = Annotated[
    Path | None,
    Parameter(
        name="--data",
        help="A table of trials to fit to, or its folder, as `migrascope data` writes it; by default data, and where "
        "that has none with the run's accelerator, what Migrascope's own trials taught.",
    ),
]
Picture = Annotated[
    Path | None, Parameter(name="--picture", help="Draws predicted against measured into this file (SVG).")
]
Lab = Annotated[str | None, Parameter(help="Predict a plan on this lab, website where none is named.")]


def predict(
    name: str = NEWEST, /, *, lab: Lab = None, asked: Asked = NOBODY, data: Data = None, picture: Picture = None,
    json: Json = False, runs: Runs = Path("runs"),
) -> int:  # fmt: skip
    """Predicts each trial of a run from what was sampled before it (probes.dirty in a plan), and holds that against
    what was measured; or each cell of a plan that has not run, by its guests in earlier trials on this machine
    (--runs, --data); or a guest that runs now, which is sampled for 7 s and not changed (--hosts, or --cloud, and
    --link). 3 where none can be predicted.

    Parameters
    ----------
    name
        A run: a path, the beginning of an id, or -1 for the newest. Or a plan: a built-in one or a TOML file.
    """
    if picture is not None and picture.exists():
        raise UsageProblem(f"--picture: {picture} is there already; remove it or give another name")
    plan = chosen(name, lab, asked)
    if picture is not None and (plan is not None or asked.anything):
        raise UsageProblem("--picture: nothing was measured yet that it could show; name a run")
    if asks(asked, plan):
        return of_running(asked, plan, data, Wish(), json=json)
    if plan is not None:
        return _plan(plan, data, runs, json=json)
    folder = find_run(runs, name)
    predictor, based_on = predictor_for(folder, data)
    rows = predicted_runs.rows_of(folder, predictor)
    print_either(
        lambda: predicted_runs.as_json(folder, rows, based_on), lambda: predicted_runs.lines(rows, based_on), json=json
    )
    if picture is not None:
        _draw(predicted_runs.scored(rows), picture)
    return 0 if any(row.prediction is not None for row in rows) else NotPredicted.code


def _draw(scored: Sequence[Scored], path: Path) -> None:
    from migrascope.report.charts import figures, predicted  # its library takes a while

    spec = predicted.picture(scored)
    if spec is None:
        raise NotPredicted("--picture: no trial was predicted to end and did, so that there is nothing to show")
    try:
        write_whole(path, figures.drawn(figures.alone(spec))[0].encode())
    except OSError as error:
        raise UsageProblem(f"--picture: {path} cannot be written: {error.strerror}") from error


def chosen(name: str, lab: str | None, asked: Asked) -> Plan | None:
    """The plan that is meant; None for a run, or for what runs now. UsageProblem where both are named."""
    if asked.anything and lab is not None:
        raise UsageProblem("--lab: what runs now is in no lab; leave it out")
    if lab is not None or is_plan(name):
        return load(WEBSITE if name == NEWEST else name, Options(lab=lab, cloud=asked.cloud))
    if asked.anything and name != NEWEST:
        raise UsageProblem(f"{name}: name a run, or a guest that runs now, not both")
    return None


def of_running(
    asked: Asked, plan: Plan | None, data: Path | None, wish: Wish, *, json: bool, settings: bool = False
) -> int:
    """Samples a guest that runs now, and prints what its migration would cost. settings: and how the best is set."""
    found = find(asked, plan)
    if found is None:
        return EXIT_INTERRUPTED
    predictor, taught = taught_for(found.running.accelerator, data)
    deadline_s = wish.must_end_within_s or found.deadline_s
    request = running.request_of(found.running, found.link_bps, deadline_s, found.bandwidth_bps)
    based_on = f"{found.running.sampled_s} s of sampling, {taught}"
    advice = advised(request, Loosely(predictor, found.running.rate_error), wish)
    answer = Answer(found.running, found.link_bps, request, advice, based_on)
    print_either(lambda: running.as_json(answer), lambda: running.lines(answer, settings=settings), json=json)
    return 0


def _plan(plan: Plan, data: Path | None, runs: Path, *, json: bool) -> int:
    known, predictor, based_on = known_for(plan, data, runs)
    rows = list(planned.expected(plan, known, predictor))
    print_either(lambda: planned.as_json(plan, rows, based_on), lambda: planned.lines(rows, based_on), json=json)
    return 0 if any(row.prediction is not None for row in rows) else NotPredicted.code


def is_plan(name: str) -> bool:
    """Whether it names a plan, and no run."""
    return name in built_in() or name.endswith(".toml")


def predictor_for(run: RunFolder, data: Path | None) -> tuple[Predicts, str]:
    """What predicts a run's trials, fitted to a table without them, or to nothing; and what it is based on."""
    return taught_for(str(run.manifest.get("accelerator")), data, machine_of(run.manifest), run.id)


def taught_for(accelerator: str, data: Path | None, machine: str = "", run: str | None = None) -> tuple[Predicts, str]:
    """What predicts guests of an accelerator, and what it is based on. machine: theirs, where it is known. run: one
    that is predicted, to which nothing may be fitted."""
    if data is not None:
        found = _taught(_file(data), run)
        return found, found.words(machine)
    if (table := _file(OWN)).is_file() and accelerator in (found := _taught(table, run)).predictors:
        return found, f"{found.words(machine)} ({table})"
    shipped = kept.shipped()
    if shipped is not None and accelerator in shipped.predictors:
        own = ", its own among them" if run in shipped.runs else ""
        return shipped, f"{shipped.words(machine)}{own} (shipped with Migrascope)"
    return Predictor.alone(Fitted(MODELS[0], Parameters()), UNFITTED), UNFITTED


def _taught(table: Path, without: str | None) -> Learnt:
    """By what is kept beside the table, where a run that is to be predicted is not in it."""
    found = kept.kept(table.with_name(kept.FILE), table) if table.is_file() else None
    return found if found is not None and without not in found.runs else learnt(table, without=without)


def known_for(plan: Plan, data: Path | None, runs: Path) -> tuple[Known, Predicts, str]:
    """What is known of a plan's guests on this machine, what predicts them, and what that is based on. NotPredicted
    where nothing is."""
    path = _file(OWN if data is None else data)
    table = in_table(table_of(path)) if data is not None or path.is_file() else ()
    machine = machine_of({"environment": environment()})
    known = Known(plan, chain(table, in_runs(runs)), machine)
    return known, *taught_for(known.accelerator, data, machine)


def _file(data: Path) -> Path:
    return data / FILE if data.is_dir() else data
