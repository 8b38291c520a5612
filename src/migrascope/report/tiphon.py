"""TIPHON's grades of transmission quality: labels on top of the metrics, never instead of them.

Source: ETSI TR 101 329 V2.1.1 (1999-06), TIPHON, General aspects of Quality of Service, in the form in which network
studies commonly quote it: delay, jitter and loss each get an index from 4 (perfect) to 1 (poor) by the limits below,
and the overall index is their mean. Read literally, only a jitter of exactly 0 is perfect. The delay here is a round
trip, longer than the one-way delay that is meant, so that a grade is never too good.
"""

from dataclasses import dataclass

LABELS = {4: "perfect", 3: "good", 2: "medium", 1: "poor"}
DELAY_S = (0.150, 0.300, 0.450)
JITTER_S = (0.0, 0.075, 0.125)
LOSS = (0.0, 0.03, 0.15)
SOURCE = "ETSI TR 101 329 V2.1.1"


@dataclass(frozen=True)
class Grade:
    """An index from 4 (best) to 1 and its label; index 0 and "not graded" where nothing was measured."""

    index: float
    label: str


NONE = Grade(0, "not graded")


def _grade(value: float | None, limits: tuple[float, float, float]) -> Grade:
    if value is None:
        return NONE
    index = 4 - sum(value > limit for limit in limits)
    return Grade(index, LABELS[index])


def delay(seconds: float | None) -> Grade:
    return _grade(seconds, DELAY_S)


def jitter(seconds: float | None) -> Grade:
    return _grade(seconds, JITTER_S)


def loss(ratio: float | None) -> Grade:
    return _grade(ratio, LOSS)


def overall(grades: list[Grade]) -> Grade:
    """The mean index of the grades: perfect from 3.8, good from 3, medium from 2. Not graded if one of them is not."""
    if any(grade == NONE for grade in grades):
        return NONE
    index = sum(grade.index for grade in grades) / len(grades)
    label = LABELS[4] if index >= 3.8 else LABELS[3] if index >= 3 else LABELS[2] if index >= 2 else LABELS[1]
    return Grade(round(index, 2), label)
