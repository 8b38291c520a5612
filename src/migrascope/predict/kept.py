"""What a table taught, kept beside it, so that no prediction waits for a fit to be made again."""

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from migrascope.predict.baselines import MODELS
from migrascope.predict.conformal import Margin
from migrascope.predict.fit import Fitted, Range, Scope
from migrascope.predict.learnt import Learnt
from migrascope.predict.parameters import Parameters
from migrascope.predict.predictor import FIGURES, Predictor
from migrascope.store.atomic import write_whole

FILE = "fitted.json"
SCHEMA = 2
"""Another one for another mechanism too: parameters are fitted to it."""


def keep(path: Path, found: Learnt, table: Path) -> None:
    """Writes what a table taught, with the table's digest."""
    value = {
        "schema": SCHEMA, "table": digest(table), "runs": sorted(found.runs), "machines": sorted(found.machines),
        "whys": dict(found.whys),
        "accelerators": {name: _predictor_json(each) for name, each in sorted(found.predictors.items())},
    }  # fmt: skip
    write_whole(path, (json.dumps(value, indent=1) + "\n").encode())


def kept(path: Path, table: Path | None = None) -> Learnt | None:
    """What was kept. table: that it has to be of, None for any. None where there is nothing, or it is of another table
    or another version's."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["schema"] != SCHEMA or (table is not None and value["table"] != digest(table)):
            return None
        predictors = {name: _predictor(each) for name, each in value["accelerators"].items()}
        return Learnt(predictors, value["whys"], frozenset(value["machines"]), frozenset(value["runs"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def shipped() -> Learnt | None:
    """What Migrascope's own trials taught: in a wheel beside this module, in a checkout beside their table. None where
    there is neither."""
    here = Path(__file__)
    found = (kept(place) for place in (here.with_name(FILE), here.parents[3] / "data" / FILE))
    return next((each for each in found if each is not None), None)


def digest(table: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(table.read_bytes()).hexdigest()


def _predictor_json(predictor: Predictor) -> dict[str, Any]:
    fitted, scope = predictor.fitted, predictor.fitted.scope
    assert scope is not None  # what was fitted to trials has one
    return {
        "model": fitted.model.name, "parameters": vars(fitted.parameters), "trials": fitted.trials,
        "cells": sorted(fitted.cells),
        "scope": {name: _plain(value) for name, value in vars(scope).items()},
        "margins": {figure: vars(each) for figure, each in predictor.margins.items()},
    }  # fmt: skip


def _plain(value: Any) -> Any:
    return vars(value) if isinstance(value, Range) else sorted(value) if isinstance(value, frozenset) else value


def _predictor(value: dict[str, Any]) -> Predictor:
    (model,) = [model for model in MODELS if model.name == value["model"]]
    scope = Scope(**{each.name: _of_plain(value["scope"][each.name]) for each in fields(Scope)})
    fitted = Fitted(model, Parameters(**value["parameters"]), scope, value["trials"], frozenset(value["cells"]))
    return Predictor(fitted, {figure: Margin(**value["margins"][figure]) for figure in FIGURES})


def _of_plain(value: Any) -> Any:
    return Range(**value) if isinstance(value, dict) else frozenset(value) if isinstance(value, list) else value
