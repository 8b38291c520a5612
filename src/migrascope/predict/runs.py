"""The trials of a run, predicted from what was sampled before each, against what was measured."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.predict.conformal import LEVEL
from migrascope.predict.learnt import Predicts
from migrascope.predict.predictor import FIGURES, Prediction
from migrascope.predict.recorded import before_qemu_s, outcome_of, request_of
from migrascope.predict.request import NotPredicted
from migrascope.predict.score import Error, Scored, coverage, errors
from migrascope.predict.texts import DASH, FIGURE_TEXTS, TITLES, ms, named, percent, titled
from migrascope.predict.trials import Outcome, Trial
from migrascope.store.recording import DAMAGED, Recording
from migrascope.store.runfolder import RunFolder

SCHEMA = 1


@dataclass(frozen=True)
class Row:
    """A trial of a run. prediction: None for the reason why; measured: None where its migration failed."""

    result: TrialResult
    prediction: Prediction | None
    why: str
    measured: Outcome | None
    trial: Trial | None = None

    @property
    def before_qemu_s(self) -> float | None:
        """How long libvirt took until it asked QEMU, which is in no time of it; None where no log of it tells."""
        return before_qemu_s(self.result.metrics)

    def as_json(self) -> dict[str, Any]:
        """For programs, in base units."""
        measured = vars(self.measured) if self.measured is not None else None
        predicted = self.prediction.as_json() if self.prediction is not None else None
        facts = self.result.facts
        why = {"why": self.why} if self.why else {}
        before = {"before_qemu_s": self.before_qemu_s} if self.before_qemu_s is not None else {}
        return {
            "trial": facts.number, "status": facts.status, "predicted": predicted, **why, "measured": measured,
            **before,
        }  # fmt: skip


def rows_of(run: RunFolder, predictor: Predicts) -> list[Row]:
    """Every trial of a run, by its number."""
    policies = run.plan().chosen_policies()
    rows = []
    for result in analyse(run).trials:
        facts = result.facts
        measured = outcome_of(facts.status, result.metrics)
        try:
            if facts.status == DAMAGED:
                raise NotPredicted(f"cannot be predicted, because its recording is damaged: {facts.reason}")
            if facts.factors.policy not in policies:
                raise NotPredicted("cannot be predicted, because nothing is known of how the command migrates")
            request = request_of(Recording(run.trial(facts.number)), policies[facts.factors.policy])
            prediction = predictor.predict(request)
        except NotPredicted as error:
            rows.append(Row(result, None, str(error), measured))
            continue
        trial = Trial(cell_of(result), request, measured) if measured is not None else None
        rows.append(Row(result, prediction, "", measured, trial))
    return rows


def cell_of(result: TrialResult) -> str:
    """The name of all that was set in a trial."""
    return " ".join(f"{key}={value}" for key, value in result.facts.factors.words().items())


def scored(rows: Sequence[Row]) -> list[Scored]:
    """Those that were predicted and measured."""
    return [Scored(row.trial, row.prediction) for row in rows if row.trial is not None and row.prediction is not None]


def as_json(run: RunFolder, rows: Sequence[Row], based_on: str) -> dict[str, Any]:
    """The public JSON of `predict RUN`."""
    each = scored(rows)
    found = {figure: _plain(errors(figure, each)) for figure in FIGURES}
    return {
        "schema": SCHEMA, "run": run.id, "based_on": based_on, "trials": [row.as_json() for row in rows],
        "errors": found,
    }  # fmt: skip


def _plain(error: Error) -> dict[str, float | int | None]:
    """Where so many were predicted never to end that an error has no bound, it is null."""
    return {name: None if value is None or math.isinf(value) else value for name, value in vars(error).items()}


def lines(rows: Sequence[Row], based_on: str) -> list[str]:
    """What `predict RUN` prints."""
    names, figures, said = list[str](), list[list[str]](), list[str]()
    for row in rows:
        facts = row.result.facts
        if row.prediction is None:
            said.append(f"trial {facts.number} {row.why}")
            continue
        names.append(f"{facts.number} {facts.factors.policy}")
        figures.append(_beside(row.prediction, row.measured))
    shown = named(names, figures)
    if shown:
        each = scored(rows)
        time, data, pause = (errors(figure, each) for figure in ("time_s", "data_bytes", "pause_s"))
        shown += [
            "",
            "off by (median, 90th percentile):",
            f"  time {percent(time.p50)}, {percent(time.p90)}; data {percent(data.p50)}, {percent(data.p90)}; "
            f"pause {ms(pause.p50)}, {ms(pause.p90)}",
            *_within(each, [row.prediction for row in rows if row.prediction is not None]),
            *_since(rows),
            f"based on {based_on}",
        ]
    return [*shown, *said]


def _beside(prediction: Prediction, measured: Outcome | None) -> list[str]:
    """What was predicted of a trial, each figure with what was measured."""
    *predicted, ends = titled(prediction)
    values = [getattr(measured, name) if measured is not None else None for name in TITLES]
    texts = [FIGURE_TEXTS[name](value) for name, value in zip(TITLES, values, strict=True)]
    ended = DASH if measured is None else "it did" if measured.ended else "it did not"
    return [*(f"{figure}, was {text}" for figure, text in zip(predicted, texts, strict=True)), f"{ends}, {ended}"]


def _since(rows: Sequence[Row]) -> list[str]:
    """From when on times count, where that is not the request."""
    befores = [row.before_qemu_s for row in rows if row.before_qemu_s is not None]
    return (
        [f"times are since libvirt asked QEMU, {ms(statistics.median(befores))} after the request"] if befores else []
    )


def _within(each: Sequence[Scored], predictions: Sequence[Prediction]) -> list[str]:
    """How many were within their intervals, or why there are none."""
    if any(prediction.intervals for prediction in predictions):
        time, data, pause = (percent(coverage(figure, each).of) for figure in ("time_s", "data_bytes", "pause_s"))
        return [f"within their intervals of {percent(LEVEL)}: time {time}, data {data}, pause {pause}"]
    whys = dict.fromkeys(
        why for prediction in predictions if prediction.course.ends for why in prediction.whys.values()
    )
    return [f"no intervals: {'; '.join(whys)}"] if whys else []
