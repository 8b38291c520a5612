"""The five parameters of a model from trials, by robust least squares, and what a fit may be used for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from migrascope.mechanism.copying import Course
from migrascope.model.problem import Problem
from migrascope.predict.baselines import Model
from migrascope.predict.parameters import Parameters
from migrascope.predict.request import NotPredicted, Request
from migrascope.predict.trials import Trial, by_cell

LEAST_CELLS, LEAST_TRIALS = 3, 10
"""Five numbers from fewer would be none of the model's."""
TELLING = 0.05
"""A relative error of time or data that weighs as much as TELLING_S of pause."""
TELLING_S = 0.02
HUBER = 1.5
"""Residuals beyond so many of those count linearly: a failed trial does not decide."""
WRONG_END = 4.0
"""So many of those a model is off that says never of a migration that ended, or the reverse: near the border that is
chance, which the spread accounts for."""
FAR = 2.0
"""Link, limit, memory and dirty rate may be so many times outside of what a fit has seen."""
_DESCENTS, _STEPS, _STIFF, _FARTHEST, _WIDTH = 2, 20, 1e6, 0.7, 0.01
_JUMP = 10 / TELLING
_TRIED_SPREADS = np.geomspace(0.01, 1.0, 15)
_LEAST, _MOST = (0.2, 0.2, 1e-3, 1e3), (1.5, 5.0, 2.0, 1e9)
_CHANCES = 15


class NotFitted(Problem):
    """Trials from which a model cannot be fitted; the message says what is missing."""

    code = 3


@dataclass(frozen=True)
class Range:
    """What a fit has seen of one thing."""

    low: float
    high: float

    def far(self, value: float) -> bool:
        return not self.low / FAR <= value <= self.high * FAR

    @classmethod
    def of(cls, values: Sequence[float]) -> "Range":
        return cls(min(values), max(values))


@dataclass(frozen=True)
class Scope:
    """What a fit has seen: outside of it nothing is predicted."""

    accelerators: frozenset[str]
    forms: frozenset[str]
    link_Bps: Range
    limit_s: Range
    held_bytes: Range
    most_dirty_Bps: float

    @classmethod
    def of(cls, requests: Sequence[Request]) -> "Scope":
        return cls(
            frozenset(each.accelerator for each in requests),
            frozenset(each.settings.form for each in requests),
            Range.of([rate for each in requests for rate in (each.link_Bps, each.sent_Bps())]),
            Range.of([each.settings.limits[-1].limit_s for each in requests]),
            Range.of([each.guest.held_bytes for each in requests]),
            max(each.guest.dirtying.within(1.0) for each in requests),
        )

    def outside(self, request: Request) -> list[str]:
        """Why a request is not of the kind that was fitted; empty where it is."""
        found = []
        for what, name, known in (
            ("accelerator", request.accelerator, self.accelerators),
            ("policy", request.settings.form, self.forms),
        ):
            if name not in known:
                found.append(f"the {what} {name} was not fitted, only {', '.join(sorted(known))}")
        links = Range(self.link_Bps.low * 8, self.link_Bps.high * 8)
        rates = {"link": request.link_Bps}
        if request.sent_Bps() < request.link_Bps:
            rates["bandwidth"] = request.sent_Bps()
        for what, value, seen, scale, unit in (
            *((what, rate * 8, links, 1e-6, "Mbit/s") for what, rate in rates.items()),
            ("downtime limit", request.settings.limits[-1].limit_s, self.limit_s, 1e3, "ms"),
            ("memory in use", request.guest.held_bytes, self.held_bytes, 2**-20, "MiB"),
        ):
            if seen.far(value):
                words = f"{seen.low * scale:.0f} to {seen.high * scale:.0f} {unit}"
                found.append(f"the {what} of {value * scale:.0f} {unit} is far from the {words} that were fitted")
        dirtied = request.guest.dirtying.within(1.0)
        if dirtied > FAR * max(self.most_dirty_Bps, 1e6):
            found.append(f"the guest dirties {dirtied / 1e6:.0f} MB/s, and {self.most_dirty_Bps / 1e6:.0f} was fitted")
        return found


@dataclass(frozen=True)
class Fitted:
    """A model with its parameters. trials: how many it was fitted to, of which cells. scope: None for one that was not
    fitted: it refuses nothing, and its figures are the mechanism's alone."""

    model: Model
    parameters: Parameters
    scope: Scope | None = None
    trials: int = 0
    cells: frozenset[str] = frozenset()

    def course(self, request: Request) -> Course:
        """NotPredicted where the request is of another kind than what was fitted."""
        if self.scope is not None and (why := self.scope.outside(request)):
            raise NotPredicted(f"cannot be predicted, because {'; '.join(why)}; migrate such guests, and fit again")
        return self.model.course(request, self.parameters)

    def courses(self, request: Request) -> list[Course]:
        """What comes of it with each of fifteen dirty rates, equally likely, spread as they were seen to be."""
        return courses(self.model, request, self.parameters)


def courses(model: Model, request: Request, parameters: Parameters) -> list[Course]:
    """As `Fitted.courses`."""
    return [
        model.course(request, replace(parameters, dirty=parameters.dirty * exp(parameters.spread * z)))
        for z in _QUANTILES
    ]


def probability(equally_likely: Sequence[Course]) -> float:
    """That it ends before its deadline: the share of those that do. Never 0 or 1: few were tried, and one failure more
    or less is always possible."""
    return (sum(course.ends for course in equally_likely) + 0.5) / (len(equally_likely) + 1)


_QUANTILES = [NormalDist().inv_cdf((at + 0.5) / _CHANCES) for at in range(_CHANCES)]


def fit(model: Model, trials: Sequence[Trial]) -> Fitted:
    """The parameters with which a model comes nearest to the trials.

    Four by Levenberg and Marquardt's steps over Huber's loss of: the logarithm of time and of data over what was
    predicted, and the difference of pauses. A migration that did not end is one that took at least until its deadline.
    Each cell weighs the same, however many trials it has. The spread is that under which it is likeliest that those
    ended that did. NotFitted where there are too few trials or a held-out one is among them.
    """
    if held := sorted({trial.cell for trial in trials if trial.split == "held-out"}):
        raise NotFitted(f"{held[0]} is held out: nothing may be fitted to it ({len(held)} such cells were given)")
    cells = by_cell(trials)
    if len(trials) < LEAST_TRIALS or len(cells) < LEAST_CELLS:
        raise NotFitted(
            f"{len(trials)} trials of {len(cells)} cells are too few to fit five parameters to: at least "
            f"{LEAST_TRIALS} of {LEAST_CELLS}"
        )
    weights = [len(trials) / (len(cells) * len(cells[trial.cell])) for trial in trials]
    loss = _Loss(model, trials, np.repeat(np.array(weights), 3))
    nearest = sorted(_begins(), key=loss.of)[:_DESCENTS]
    found = min((loss.descended(begin) for begin in nearest), key=loss.of)
    parameters = _parameters(found)
    spreads = [replace(parameters, spread=float(spread)) for spread in _TRIED_SPREADS]
    spread = min(spreads, key=lambda tried: _surprise(model, trials, weights, tried))
    return Fitted(model, spread, Scope.of([trial.request for trial in trials]), len(trials), frozenset(cells))


def _begins() -> list[NDArray[np.float64]]:
    return [np.log([speed, dirty, 0.02, 1e6]) for speed in (0.7, 0.8, 0.9, 1.0) for dirty in (0.7, 1.0, 1.4)]


def _parameters(logs: NDArray[np.float64]) -> Parameters:
    speed, dirty, pause_s, backlog_bytes = (float(value) for value in np.exp(logs))
    return Parameters(speed, dirty, pause_s, backlog_bytes)


class _Loss:
    """How far a model is off, for the logarithms of its parameters."""

    def __init__(self, model: Model, trials: Sequence[Trial], weights: NDArray[np.float64]) -> None:
        self._model, self._trials, self._weights = model, trials, weights
        self._requests = {trial.request for trial in trials}

    def of(self, logs: NDArray[np.float64]) -> float:
        return self._sum(self._residuals(logs))

    def _sum(self, residuals: NDArray[np.float64]) -> float:
        size = np.abs(residuals)
        huber = np.where(size <= HUBER, size**2 / 2, HUBER * (size - HUBER / 2))
        return float((self._weights * huber).sum())

    def _residuals(self, logs: NDArray[np.float64]) -> NDArray[np.float64]:
        parameters = _parameters(logs)
        courses = {request: self._model.course(request, parameters) for request in self._requests}
        rows = [_residual(courses[trial.request], trial) for trial in self._trials]
        return np.array(rows, dtype=float).ravel()

    def descended(self, logs: NDArray[np.float64]) -> NDArray[np.float64]:
        """From a beginning to where no step brings it down any more."""
        residuals = self._residuals(logs)
        best, damping = self._sum(residuals), 1e-2
        for _ in range(_STEPS):
            slopes = np.stack([self._slope(logs, axis) for axis in np.eye(len(logs))], 1)
            weights = self._weights * np.minimum(1.0, HUBER / np.maximum(np.abs(residuals), 1e-12))
            normal = slopes.T @ (weights[:, None] * slopes)
            gradient = slopes.T @ (weights * residuals)
            before = best
            while damping < _STIFF:
                damped = normal + damping * (np.diag(np.diag(normal)) + 1e-9 * np.eye(len(logs)))
                step = np.clip(np.linalg.solve(damped, -gradient), -_FARTHEST, _FARTHEST)
                tried = np.clip(logs + step, np.log(_LEAST), np.log(_MOST))
                found = self._residuals(tried)
                if self._sum(found) < best:
                    logs, residuals, best, damping = tried, found, self._sum(found), max(1e-6, damping / 5)
                    break
                damping *= 3
            if best > before * (1 - 1e-4):
                break
        return logs

    def _slope(self, logs: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.float64]:
        """Along one parameter. A jump, where one more round is needed, is none."""
        found = (self._residuals(logs + _WIDTH * axis) - self._residuals(logs - _WIDTH * axis)) / (2 * _WIDTH)
        return np.where(np.abs(found) > _JUMP, 0.0, found)


def _residual(predicted: Course, trial: Trial) -> tuple[float, float, float]:
    """Of time, data and pause."""
    measured, deadline_s = trial.outcome, trial.request.settings.deadline_s
    if not measured.ended:
        if predicted.time_s is None:
            return 0.0, 0.0, 0.0
        return WRONG_END + max(0.0, log(deadline_s / predicted.time_s)) / TELLING, 0.0, 0.0
    if predicted.time_s is None or predicted.pause_s is None:
        return WRONG_END, 0.0, 0.0
    time = log(measured.time_s / predicted.time_s) / TELLING if measured.time_s else 0.0
    data = log(measured.data_bytes / predicted.data_bytes) / TELLING if measured.data_bytes else 0.0
    pause = (measured.pause_s - predicted.pause_s) / TELLING_S if measured.pause_s is not None else 0.0
    return time, data, pause


def _surprise(model: Model, trials: Sequence[Trial], weights: Sequence[float], parameters: Parameters) -> float:
    total = 0.0
    requests = {trial.request for trial in trials}
    chances = {request: probability(courses(model, request, parameters)) for request in requests}
    for trial, weight in zip(trials, weights, strict=True):
        chance = chances[trial.request]
        total -= weight * log(chance if trial.outcome.ended else 1 - chance)
    return total
