"""What advice costs on guests that were migrated in several ways."""

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from madetrials import made, points

import prediction_goals
from migrascope.predict.baselines import MODELS
from migrascope.predict.collected import METRIC
from migrascope.predict.dataset import row_of, write
from migrascope.predict.fit import Fitted
from migrascope.predict.parameters import Parameters
from migrascope.predict.predictor import Predictor
from migrascope.predict.regret import NOVA, SAME, Choice, choices, held_out

PREDICTOR = Predictor.alone(Fitted(MODELS[0], Parameters()), "no trials")
OUTAGE = METRIC + "network_outage_total_s"
TIME = METRIC + "migration_time_s"


def row(guest: int, policy: str, outage_s: float | None, *, limit_s: float = 0.3, **changed: Any) -> dict[str, Any]:
    """A held-out trial of the guest of a number."""
    trial = made(5e6, 16, 40e6, limit_s, 1, "held-out")
    same: dict[str, Any] = dict.fromkeys(SAME, 0.0) | {"run": "one", "block": guest, "accelerator": "tcg"}
    about = {
        "set.policy": policy,
        "set.downtime_limit_s": limit_s,
        "set.write_Bps": 5e6,
        "at_least": "",
        OUTAGE: outage_s,
        TIME: trial.outcome.time_s,
    }
    return row_of(trial, points(trial)) | same | about | changed


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), infer_schema_length=None)


def chosen(*rows: dict[str, Any]) -> list[Choice]:
    return choices(held_out(table(*rows), Path("made")), PREDICTOR, "blackout")


def test_the_way_with_the_least_predicted_cost_is_held_against_the_best_that_was_measured() -> None:
    """By its limit the second way pauses the guest for less; the first cost less all the same."""
    (found,) = chosen(row(1, "pre-copy", 0.2, limit_s=1.0), row(1, "pre-copy", 0.5, limit_s=0.1))
    assert (found.cost, found.best, found.ways, found.nova) == (0.5, 0.2, 2, None)
    assert found.regret == pytest.approx(1.5)


def test_a_choice_that_did_not_end_has_no_bound() -> None:
    (found,) = chosen(
        row(1, "pre-copy", 0.9, limit_s=1.0), row(1, "pre-copy", None, limit_s=0.1, ended=False, time_s=None)
    )
    assert math.isinf(found.regret)


def test_nova_is_no_choice_but_may_be_the_best() -> None:
    ways = row(1, "pre-copy", 0.4), row(1, "pre-copy", 0.5, limit_s=1.0)
    (found,) = chosen(*ways, row(1, NOVA, 0.1, limit_s=0.5))
    assert (found.cost, found.best, found.ways, found.nova) == (0.4, 0.1, 2, 0.1)
    (found,) = chosen(*ways, row(1, NOVA, 0.1, limit_s=0.3))
    assert (found.best, found.nova) == (0.1, None)


def test_what_allows_no_choice_is_left_out() -> None:
    one = row(1, "pre-copy", 0.4)
    assert chosen(one) == []
    assert chosen(one, row(2, "pre-copy", 0.5)) == []  # another block
    assert chosen(one, row(1, "pre-copy", None)) == []  # not measured
    assert chosen(one, row(1, "pre-copy", 0.5, at_least=OUTAGE.removeprefix(METRIC))) == []  # cut off
    never: dict[str, Any] = {"ended": False, "time_s": None}
    assert chosen(row(1, "pre-copy", None, **never), row(1, "multifd", None, **never)) == []
    assert chosen(*(row(1, "pre-copy", 0.4, split=split) for split in ("fit", "calibrate"))) == []


def test_a_table_that_does_not_say_what_was_set_has_no_guests(tmp_path: Path) -> None:
    trial = made(5e6, 16, 40e6, 0.3, 1, "held-out")
    write(tmp_path / "data.parquet", [row_of(trial, points(trial))])
    assert held_out(pl.read_parquet(tmp_path / "data.parquet"), tmp_path) == []


def test_the_goals_of_the_advice_are_printed_with_how_many_guests() -> None:
    rows = [
        row(guest, policy, cost, limit_s=limit_s)
        for guest in range(30)
        for policy, cost, limit_s in (("pre-copy", 0.1, 0.1), ("pre-copy", 0.3, 1.0), (NOVA, 0.4, 0.5))
    ]
    found = prediction_goals.goals(table(*rows), Path("made"), {m.name: [] for m in MODELS}, PREDICTOR, [])
    by_name = {each[0]: each[1:] for each in found}
    assert by_name["regret of the advice, blackout"][1:] == [
        "median 0 %, p90 0 %, 30 guests of 2 ways in the median", "met",
    ]  # fmt: skip
    assert by_name["Nova's defaults over the advice, blackout"][1:] == [
        "median 4.0 (95 %: 4.0 to 4.0), 30 guests",
        "met",
    ]
    assert by_name["migration time, p90 of the error"][2] == "not known"
    fewer = prediction_goals.goals(table(*rows[:30]), Path("made"), {m.name: [] for m in MODELS}, PREDICTOR, [])
    assert {each[0]: each[3] for each in fewer}["regret of the advice, blackout"] == "not known"
