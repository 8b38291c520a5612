"""A measured value: never a bare number, and never a 0 that means "not measured"."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """One number of one trial, in base units (s, B, bit/s, B/s, ratio, 1).

    value is None exactly when reason says why. bound is the half-width of the error that the method
    itself admits, samples the number of observations behind the value, source the table or program.
    """

    value: float | None
    unit: str
    source: str
    reason: str | None = None
    bound: float | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError("a value needs no reason, and no value needs one")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def missing(unit: str, source: str, reason: str) -> Measured:
    """A metric that was not measured, and why."""
    return Measured(None, unit, source, reason)
