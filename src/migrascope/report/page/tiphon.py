"""TIPHON's grades of transmission quality: labels on top of the metrics, never instead of them.

Source: ETSI TR 101 329 V2.1.1 (1999-06), TIPHON, General aspects of Quality of Service, in the form in which network
studies commonly quote it: delay, jitter, loss and throughput each get an index from 4 (perfect) to 1 (poor) by the
limits below. What is beyond the last limit is off the scale, and has index 0. Read literally, only a jitter and a loss
of exactly 0, and a throughput of no less than was wanted, are perfect.

Of delay such studies quote two scales. Both are here, for a grade means nothing without its scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

LABELS = {4: "perfect", 3: "good", 2: "medium", 1: "poor", 0: "off the scale"}
Limits = tuple[float, float, float, float]
"""The worst value that is perfect, good, medium, poor."""
DELAYS_S: dict[str, Limits] = {
    "150/250/350/450 ms": (0.150, 0.250, 0.350, 0.450),
    "150/300/450 ms": (0.150, 0.300, 0.450, inf),
}
JITTER_S: Limits = (0.0, 0.075, 0.125, 0.225)
LOSS: Limits = (0.0, 0.03, 0.15, 0.25)
THROUGHPUT: Limits = (1.0, 0.75, 0.50, 0.25)
SOURCE = "ETSI TR 101 329 V2.1.1"


@dataclass(frozen=True)
class Grade:
    """An index from 4 (best) to 0 and its label; None and "not graded" where nothing was measured. scale: by which
    scale, where there are two and they differ."""

    index: int | None
    label: str
    scale: str = ""

    @property
    def tone(self) -> str:
        """The class of its colour."""
        return "g-none" if self.index is None else f"g{self.index}"


NONE = Grade(None, "not graded")


@dataclass(frozen=True)
class Overall:
    """Of several grades the worst, and the mean of their indices, which such studies print; None without one."""

    worst: Grade
    mean: float | None


def _grade(value: float | None, limits: Limits, *, at_least: bool) -> Grade:
    """at_least: the value is a lower bound, and so the grade is the best that it can be."""
    if value is None:
        return NONE
    index = 4 - sum(value > limit for limit in limits)
    return Grade(index, f"{LABELS[index]} or worse" if at_least and index else LABELS[index])


def delay(seconds: float | None, *, at_least: bool = False) -> tuple[Grade, ...]:
    """By both scales, the stricter first; one grade where they agree."""
    named = [replace(_grade(seconds, limits, at_least=at_least), scale=name) for name, limits in DELAYS_S.items()]
    named.sort(key=lambda grade: -1 if grade.index is None else grade.index)
    return tuple(named) if len({grade.label for grade in named}) > 1 else (replace(named[0], scale=""),)


def jitter(seconds: float | None, *, at_least: bool = False) -> Grade:
    return _grade(seconds, JITTER_S, at_least=at_least)


def loss(ratio: float | None, *, at_least: bool = False) -> Grade:
    return _grade(ratio, LOSS, at_least=at_least)


def throughput(ratio: float | None) -> Grade:
    """Of what was received by what was wanted."""
    return NONE if ratio is None else _grade(-ratio, _NEGATED, at_least=False)


_NEGATED: Limits = (-THROUGHPUT[0], -THROUGHPUT[1], -THROUGHPUT[2], -THROUGHPUT[3])


def overall(grades: Sequence[Grade]) -> Overall:
    """Not graded if one of them is not: what is missing may be the worst. One that is poor is not made good by three
    that are perfect, as a mean makes it."""
    known = [(grade.index, grade) for grade in grades if grade.index is not None]
    if not known or len(known) < len(grades):
        return Overall(NONE, None)
    worst = min(known, key=lambda grade: grade[0])[1]
    return Overall(replace(worst, scale=""), round(sum(index for index, _ in known) / len(known), 2))
