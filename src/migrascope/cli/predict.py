"""`predict`: what migrations cost, computed from what was known before them."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli.console import Json, Runs, stdout
from migrascope.cli.output import print_json
from migrascope.predict.baselines import MODELS
from migrascope.predict.collected import FILE, machine_of
from migrascope.predict.fit import Fitted
from migrascope.predict.learnt import Predicts, learnt
from migrascope.predict.parameters import Parameters
from migrascope.predict.predictor import Predictor
from migrascope.predict.request import NotPredicted
from migrascope.predict.runs import as_json, lines, rows_of
from migrascope.store.runfolder import RunFolder, find_run

UNFITTED = "QEMU's rule alone: it was fitted to no trials"
Data = Annotated[
    Path | None,
    Parameter(name="--data", help="A table of trials to fit to, or its folder, as `migrascope data` writes it."),
]


def predict(run: str = "-1", /, *, data: Data = None, json: Json = False, runs: Runs = Path("runs")) -> int:
    """Predicts each trial of a run from what was sampled before it (probes.dirty in a plan), and holds that against
    what was measured. 3 where none can be predicted.

    Parameters
    ----------
    run
        A path, the beginning of an id, or -1 for the newest.
    """
    folder = find_run(runs, run)
    predictor, based_on = predictor_for(folder, data)
    rows = rows_of(folder, predictor)
    if json:
        print_json(as_json(folder, rows, based_on))
    else:
        for line in lines(rows, based_on):
            stdout().print(line, soft_wrap=True)
    return 0 if any(row.prediction is not None for row in rows) else NotPredicted.code


def predictor_for(run: RunFolder, data: Path | None) -> tuple[Predicts, str]:
    """What predicts a run's trials, fitted to a table without them, or to nothing; and what it is based on."""
    if data is None:
        return Predictor.alone(Fitted(MODELS[0], Parameters()), UNFITTED), UNFITTED
    found = learnt(data / FILE if data.is_dir() else data, without=run.id)
    return found, found.words(machine_of(run.manifest))
