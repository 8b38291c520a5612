"""What a table of trials teaches: a fitted model with intervals for each accelerator, which are never pooled."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from migrascope.model.units import number_of
from migrascope.predict.baselines import MODELS
from migrascope.predict.dataset import table_of, trials_of
from migrascope.predict.fit import NotFitted, fit
from migrascope.predict.predictor import Prediction, Predictor
from migrascope.predict.request import NotPredicted, Request
from migrascope.predict.trials import Trial


class Predicts(Protocol):
    """What says of a request what it will cost."""

    def predict(self, request: Request) -> Prediction:
        """NotPredicted where the request is of another kind than what was fitted."""


@dataclass(frozen=True)
class Learnt:
    """predictors: by accelerator. whys: why an accelerator has none. machines: on which the trials were measured; runs:
    of which they are."""

    predictors: Mapping[str, Predictor]
    whys: Mapping[str, str]
    machines: frozenset[str]
    runs: frozenset[str] = frozenset()

    def predict(self, request: Request) -> Prediction:
        found = self.predictors.get(request.accelerator)
        if found is None:
            known = ", ".join(sorted(self.predictors)) or "nothing"
            why = self.whys.get(request.accelerator) or f"there are no trials with it, only with {known}"
            raise NotPredicted(
                f"cannot be predicted, because the accelerator {request.accelerator} was not fitted: {why}; "
                "add trials: migrascope data RUN"
            )
        return found.predict(request)

    def words(self, machine: str) -> str:
        """What it is based on. machine: of the run that is predicted."""
        fitted = [
            f"{number_of('trial', each.fitted.trials)} of {number_of('cell', len(each.fitted.cells))}, {accelerator}"
            for accelerator, each in sorted(self.predictors.items())
        ]
        where = "this machine" if self.machines == {machine} else "; ".join(sorted(self.machines)) or "unknown machines"
        return f"{' and '.join(fitted) or 'no trials'}, on {where}"


def learnt(path: Path, *, without: str | None = None) -> Learnt:
    """From a table. BadDataset where it is no table of trials."""
    return learnt_of(table_of(path), path, without=without)


def learnt_of(table: pl.DataFrame, path: Path, *, without: str | None = None) -> Learnt:
    """The same of a table that was read from a path. without: a run that is to be predicted, and must not be fitted to.
    Trials that are held out stay so. BadDataset where a row is no trial."""
    trials = trials_of(table, path, without=without)
    predictors: dict[str, Predictor] = {}
    whys: dict[str, str] = {}
    for accelerator in sorted({trial.request.accelerator for trial in trials}):
        mine = [trial for trial in trials if trial.request.accelerator == accelerator]
        try:
            predictors[accelerator] = Predictor.calibrated(fit(MODELS[0], _of(mine, "fit")), _of(mine, "calibrate"))
        except NotFitted as error:
            whys[accelerator] = str(error)
    machines = table["machine"].drop_nulls().unique().to_list() if "machine" in table.columns else []
    runs = frozenset(table["run"].drop_nulls().unique().to_list()) - {without}
    return Learnt(predictors, whys, frozenset(machines), frozenset(runs))


def _of(trials: list[Trial], split: str) -> list[Trial]:
    return [trial for trial in trials if trial.split == split]
