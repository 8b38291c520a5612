"""How good predictions are: models fitted, calibrated and scored on a table of trials, without QEMU.

    .venv/bin/python benchmarks/prediction.py [DATA.parquet]

Of data/trials.parquet where none is named. For each accelerator, which are never pooled: what is to be reached, and
what is; the models on migrations that copy in rounds at one speed, all fitted to the same trials and scored on held-out
cells that no fit has seen; and ours on every form of policy. A fit to held-out cells is refused.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from migrascope.model.problem import Problem
from migrascope.predict.baselines import MODELS, Model
from migrascope.predict.dataset import table_of, trials_of
from migrascope.predict.fit import NotFitted, fit
from migrascope.predict.predictor import Predictor
from migrascope.predict.request import NotPredicted
from migrascope.predict.score import Scored, table
from migrascope.predict.texts import aligned
from migrascope.predict.trials import SPLITS, Trial
from prediction_goals import goals

ROUNDS = ("pre-copy", "multifd", "tls")
"""Forms of policy of which the published models know: rounds, at one limit, and the guest is not slowed."""


def scored(model: Model, trials: Sequence[Trial]) -> tuple[Predictor, list[Scored]]:
    """A model fitted and calibrated on its splits, and what it says of held-out trials; those it refuses are left
    out."""
    parts = {split: [trial for trial in trials if trial.split == split] for split in SPLITS}
    predictor = Predictor.calibrated(fit(model, parts["fit"]), parts["calibrate"])
    found = []
    for trial in parts["held-out"]:
        try:
            found.append(Scored(trial, predictor.predict(trial.request)))
        except NotPredicted:
            continue
    return predictor, found


def report(data: pl.DataFrame, path: Path) -> list[str]:
    """What is printed of a table of trials. path: where it is from."""
    shown = []
    trials = trials_of(data, path)
    for accelerator in sorted({trial.request.accelerator for trial in trials}):
        mine = [trial for trial in trials if trial.request.accelerator == accelerator]
        counts = {split: sum(trial.split == split for trial in mine) for split in SPLITS}
        shown += [
            f"{accelerator}: {len(mine)} trials of {len({trial.cell for trial in mine})} cells: "
            f"{', '.join(f'{count} {split}' for split, count in counts.items())}",
            "",
        ]
        in_rounds = [trial for trial in mine if trial.request.settings.form in ROUNDS]
        by_model: dict[str, list[Scored]] = {model.name: [] for model in MODELS}
        why = ""
        try:
            by_model = {model.name: scored(model, in_rounds)[1] for model in MODELS}
        except NotFitted as error:
            why = f": {error}"
        predictor, every = scored(MODELS[0], mine)
        rows = goals(data.filter(pl.col("accelerator") == accelerator), path, by_model, predictor, every)
        shown += ["what is to be reached, on held-out cells", *aligned(rows), ""]
        shown += [f"{', '.join(ROUNDS)}, all fitted to the same trials{why}", *aligned(table(by_model)), ""]
        shown += [f"every policy: {MODELS[0].name}, {predictor.fitted.parameters}"]
        forms = sorted({each.trial.request.settings.form for each in every})
        by_form = {form: [each for each in every if each.trial.request.settings.form == form] for form in forms}
        shown += aligned(table({**by_form, "all": every}))
        shown += [f"held-out trials that were refused: {counts['held-out'] - len(every)}", ""]
    return shown


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: prediction.py [DATA.parquet]")
    source = Path(sys.argv[1] if len(sys.argv) == 2 else Path(__file__).parents[1] / "data" / "trials.parquet")
    try:
        print("\n".join(report(table_of(source), source)))
    except Problem as error:
        sys.exit(f"{error}")
