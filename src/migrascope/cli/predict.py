"""`predict`: what migrations cost, computed from what was known before them."""

from pathlib import Path

from migrascope.cli.console import Json, Runs, stdout
from migrascope.cli.output import print_json
from migrascope.predict.baselines import MODELS
from migrascope.predict.course import Parameters
from migrascope.predict.fit import Fitted
from migrascope.predict.predictor import Predictor
from migrascope.predict.request import NotPredicted
from migrascope.predict.runs import as_json, lines, rows_of
from migrascope.store.runfolder import find_run

UNFITTED = "QEMU's rule alone: it was fitted to no trials"


def predict(run: str = "-1", /, *, json: Json = False, runs: Runs = Path("runs")) -> int:
    """Predicts each trial of a run from what was sampled before it (probes.dirty in a plan), and holds that against
    what was measured. 3 where none can be predicted.

    Parameters
    ----------
    run
        A path, the beginning of an id, or -1 for the newest.
    """
    folder = find_run(runs, run)
    rows = rows_of(folder, Predictor.alone(Fitted(MODELS[0], Parameters()), UNFITTED))
    if json:
        print_json(as_json(folder, rows, UNFITTED))
    else:
        for line in lines(rows, UNFITTED):
            stdout().print(line, soft_wrap=True)
    return 0 if any(row.prediction is not None for row in rows) else NotPredicted.code
