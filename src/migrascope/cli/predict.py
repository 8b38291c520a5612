"""`predict`: what migrations cost, computed from what was known before them."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli.console import Json, Runs
from migrascope.cli.output import print_either
from migrascope.model.plan import Plan
from migrascope.predict import planned
from migrascope.predict import runs as predicted_runs
from migrascope.predict.baselines import MODELS
from migrascope.predict.collected import FILE, machine_of
from migrascope.predict.dataset import table_of
from migrascope.predict.fit import Fitted
from migrascope.predict.learnt import Learnt, Predicts, learnt, learnt_of
from migrascope.predict.parameters import Parameters
from migrascope.predict.planned import HELPS, Known
from migrascope.predict.predictor import Predictor
from migrascope.predict.request import NotPredicted
from migrascope.store.runfolder import RunFolder, find_run
from migrascope.study.plans import Options, built_in, load
from migrascope.study.runs.environment import environment

UNFITTED = "QEMU's rule alone: it was fitted to no trials"
NEWEST = "-1"
WEBSITE = "website"
"""The plan that `run` and `plan` take where none is named."""
Data = Annotated[
    Path | None,
    Parameter(name="--data", help="A table of trials to fit to, or its folder, as `migrascope data` writes it."),
]
Lab = Annotated[str | None, Parameter(help="Predict a plan on this lab, website where none is named.")]


def predict(
    name: str = NEWEST, /, *, lab: Lab = None, data: Data = None, json: Json = False, runs: Runs = Path("runs")
) -> int:
    """Predicts each trial of a run from what was sampled before it (probes.dirty in a plan), and holds that against
    what was measured; or each cell of a plan that has not run, by its guests in earlier trials on this machine
    (--data). 3 where none can be predicted.

    Parameters
    ----------
    name
        A run: a path, the beginning of an id, or -1 for the newest. Or a plan: a built-in one or a TOML file.
    """
    if lab is not None or is_plan(name):
        return _plan(WEBSITE if name == NEWEST else name, lab, data, json=json)
    folder = find_run(runs, name)
    predictor, based_on = predictor_for(folder, data)
    rows = predicted_runs.rows_of(folder, predictor)
    print_either(
        lambda: predicted_runs.as_json(folder, rows, based_on), lambda: predicted_runs.lines(rows, based_on), json=json
    )
    return 0 if any(row.prediction is not None for row in rows) else NotPredicted.code


def _plan(name: str, lab: str | None, data: Path | None, *, json: bool) -> int:
    plan = load(name, Options(lab=lab))
    known, predictor, based_on = known_for(plan, data)
    rows = list(planned.expected(plan, known, predictor))
    print_either(lambda: planned.as_json(plan, rows, based_on), lambda: planned.lines(rows, based_on), json=json)
    return 0 if any(row.prediction is not None for row in rows) else NotPredicted.code


def is_plan(name: str) -> bool:
    """Whether it names a plan, and no run."""
    return name in built_in() or name.endswith(".toml")


def predictor_for(run: RunFolder, data: Path | None) -> tuple[Predicts, str]:
    """What predicts a run's trials, fitted to a table without them, or to nothing; and what it is based on."""
    if data is None:
        return Predictor.alone(Fitted(MODELS[0], Parameters()), UNFITTED), UNFITTED
    found = learnt(_file(data), without=run.id)
    return found, found.words(machine_of(run.manifest))


def known_for(plan: Plan, data: Path | None) -> tuple[Known, Learnt, str]:
    """What is known of a plan's guests on this machine, what predicts them, and what that is based on. NotPredicted
    where nothing is."""
    if data is None:
        raise NotPredicted(
            f"cannot be predicted, because no trial on this machine is known: give earlier ones with --data; {HELPS}"
        )
    machine = machine_of({"environment": environment()})
    path = _file(data)
    table = table_of(path)
    found = learnt_of(table, path)
    return Known(plan, table, machine), found, found.words(machine)


def _file(data: Path) -> Path:
    return data / FILE if data.is_dir() else data
