"""A fitted model with its intervals: what is said of a migration before it begins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from typing import Any, Literal

from migrascope.mechanism.copying import Course
from migrascope.predict.conformal import LEVEL, Margin, margin
from migrascope.predict.fit import Fitted, NotFitted, probability
from migrascope.predict.request import Request
from migrascope.predict.trials import Outcome, Trial, by_cell

Figure = Literal["time_s", "pause_s", "data_bytes"]
FIGURES: tuple[Figure, ...] = ("time_s", "pause_s", "data_bytes")


@dataclass(frozen=True)
class Interval:
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Prediction:
    """course: the likeliest. courses: others, each as likely as the next. intervals: of each figure, given that it
    ends; whys: why a figure has none."""

    course: Course
    courses: Sequence[Course]
    intervals: Mapping[Figure, Interval]
    whys: Mapping[Figure, str]

    @property
    def ends(self) -> float:
        """The probability that it ends before its deadline."""
        return probability(self.courses)

    def as_json(self) -> dict[str, Any]:
        """For programs, in base units."""
        figures = {
            name: {
                "value": getattr(self.course, name) if self.course.ends else None,
                "interval": list(vars(self.intervals[name]).values()) if name in self.intervals else None,
                **({"why": self.whys[name]} if name in self.whys else {}),
            }
            for name in FIGURES
        }
        rest = {"rounds": self.course.rounds, "throttle": self.course.throttle, "waits_s": self.course.waits_s}
        return {"ends": self.course.ends, "probability": self.ends, "level": LEVEL, **figures, **rest}


def off(figure: Figure, predicted: Course, measured: Outcome) -> float | None:
    """How far a prediction was off: the logarithm of the ratio, of a pause the difference in seconds. Infinite where a
    migration did not end that was to; None where nothing was predicted, or measured."""
    value = getattr(predicted, figure)
    if not predicted.ends or value is None:
        return None
    if not measured.ended:
        return inf
    seen = getattr(measured, figure)
    if seen is None:
        return None
    return abs(seen - value) if figure == "pause_s" else abs(log(seen / value))


def around(figure: Figure, value: float, reach: float) -> Interval:
    """What is off by so much or less."""
    if figure == "pause_s":
        return Interval(max(0.0, value - reach), value + reach)
    return Interval(value * exp(-reach), value * exp(reach))


@dataclass(frozen=True)
class Predictor:
    """A fitted model and how far it was off in cells that it was not fitted to."""

    fitted: Fitted
    margins: Mapping[Figure, Margin]

    @classmethod
    def alone(cls, fitted: Fitted, why: str) -> "Predictor":
        """Without intervals, for a reason."""
        return cls(fitted, {figure: Margin(None, 0, why) for figure in FIGURES})

    @classmethod
    def calibrated(cls, fitted: Fitted, trials: Sequence[Trial]) -> "Predictor":
        """With intervals by trials of cells that the fit has not seen. NotFitted where one was fitted or is held
        out."""
        if wrong := sorted({trial.cell for trial in trials if trial.split != "calibrate"}):
            raise NotFitted(f"{wrong[0]} is no calibration cell: intervals are from cells that nothing else has seen")
        if known := sorted({trial.cell for trial in trials} & fitted.cells):
            raise NotFitted(f"{known[0]} was fitted: intervals are from cells that nothing else has seen")
        return cls(fitted, {figure: margin(_scores(figure, fitted.course, trials)) for figure in FIGURES})

    def predict(self, request: Request) -> Prediction:
        """NotPredicted where the request is of another kind than what was fitted."""
        course = self.fitted.course(request)
        intervals: dict[Figure, Interval] = {}
        whys: dict[Figure, str] = {}
        for figure in FIGURES:
            reach, value = self.margins[figure], getattr(course, figure)
            if not course.ends or value is None:
                whys[figure] = "it is not expected to end"
            elif reach.value is None:
                whys[figure] = reach.why
            else:
                intervals[figure] = around(figure, value, reach.value)
        return Prediction(course, self.fitted.courses(request), intervals, whys)


def _scores(figure: Figure, course: Callable[[Request], Course], trials: Sequence[Trial]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for cell, group in by_cell(trials).items():
        errors = [off(figure, course(trial.request), trial.outcome) for trial in group]
        found[cell] = [error for error in errors if error is not None]
    return found
