"""How good predictions are: models fitted, calibrated and scored on a table of trials, without QEMU.

    .venv/bin/python benchmarks/prediction.py DATA.parquet

For each accelerator, which are never pooled: a table of the models on pre-copy, all fitted to the same trials and
scored on held-out cells that no fit has seen; by how much the p90 of time of each other model is larger than ours, with
the interval by a bootstrap over cells; and ours on every form of policy. A fit to held-out cells is refused.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from migrascope.model.problem import Problem
from migrascope.predict.baselines import MODELS, Model
from migrascope.predict.dataset import read
from migrascope.predict.fit import fit
from migrascope.predict.predictor import Predictor
from migrascope.predict.request import NotPredicted
from migrascope.predict.score import Scored, better_p90, coverage, table
from migrascope.predict.trials import Trial

PLAIN = "pre-copy"


def scored(model: Model, trials: Sequence[Trial]) -> tuple[Predictor, list[Scored]]:
    """A model fitted and calibrated on its splits, and what it says of held-out trials; those it refuses are left
    out."""
    parts = {split: [trial for trial in trials if trial.split == split] for split in ("fit", "calibrate", "held-out")}
    predictor = Predictor.calibrated(fit(model, parts["fit"]), parts["calibrate"])
    found = []
    for trial in parts["held-out"]:
        try:
            found.append(Scored(trial, predictor.predict(trial.request)))
        except NotPredicted:
            continue
    return predictor, found


def lines(rows: list[list[str]]) -> list[str]:
    """A table's rows with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def report(trials: Sequence[Trial]) -> list[str]:
    """What is printed."""
    shown = []
    for accelerator in sorted({trial.request.accelerator for trial in trials}):
        mine = [trial for trial in trials if trial.request.accelerator == accelerator]
        plain = [trial for trial in mine if trial.request.settings.form == PLAIN]
        shown += [f"{accelerator}: {len(mine)} trials of {len({trial.cell for trial in mine})} cells", ""]
        found = {model.name: scored(model, plain)[1] for model in MODELS}
        shown += [f"{PLAIN}, held-out cells", *lines(table(found)), ""]
        ours = found[MODELS[0].name]
        for model in MODELS[1:]:
            interval = better_p90("time_s", ours, found[model.name])
            words = "not known" if interval is None else f"{interval.low:.2f} to {interval.high:.2f}"
            shown.append(f"p90 of the error of time, {model.name} over {MODELS[0].name}: {words}")
        predictor, every = scored(MODELS[0], mine)
        shown += ["", f"every policy: {MODELS[0].name}, {predictor.fitted.parameters}"]
        forms = sorted({each.trial.request.settings.form for each in every})
        by_form = {form: [each for each in every if each.trial.request.settings.form == form] for form in forms}
        shown += lines(table(by_form))
        width = coverage("time_s", every).width
        shown += [f"median width of the 90 % interval of time: {'none' if width is None else f'{width:.2f} times'}"]
        refused = sum(trial.split == "held-out" for trial in mine) - len(every)
        shown += [f"held-out trials that were refused: {refused}", ""]
    return shown


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: prediction.py DATA.parquet")
    try:
        print("\n".join(report(read(Path(sys.argv[1])))))
    except Problem as error:
        sys.exit(f"{error}")
