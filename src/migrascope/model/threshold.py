"""Thresholds for the figures of a run: [thresholds] in a plan or in a file of its own."""

import contextlib
import math
from typing import Self

from pydantic import model_validator

from migrascope.model import units
from migrascope.model.quantity import Part

_PARSE = {
    "s": units.parse_duration,
    "B": units.parse_size,
    "B/s": units.parse_byte_rate,
    "bit/s": units.parse_rate,
}


class Threshold(Part):
    """What a figure may be at most, and what it must be at least, with its unit: "300ms", "150MB", "5%", "3"."""

    most: str | None = None
    least: str | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.most is None and self.least is None:
            raise ValueError("write most, least or both")
        return self


def in_unit(text: str, unit: str) -> float:
    """A threshold's number in the base unit of the figure that it is for. ValueError where it is none."""
    if unit in _PARSE:
        return float(_PARSE[unit](text))
    share = unit == "ratio" and text.endswith("%")
    number = math.nan
    with contextlib.suppress(ValueError):
        number = float(text.removesuffix("%") if share else text)
    if not math.isfinite(number):
        raise ValueError(f"{text[: units.LONGEST]!r} is not a number{' or a percentage' if unit == 'ratio' else ''}")
    return number / 100 if share else number
