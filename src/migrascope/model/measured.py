"""A measured value: never a bare number, and never a 0 that means "not measured"."""

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """One number of one trial, in base units (s, B, bit/s, B/s, ratio, 1).

    value is None exactly when reason says why. bound is the half-width of the error that the method
    itself admits, samples the number of observations behind the value, source the table or program.
    at_least: the value was cut off, by the end of the observation or because what was waited for never came: it is a
    lower bound (right-censored).
    """

    value: float | None
    unit: str
    source: str
    reason: str | None = None
    bound: float | None = None
    samples: int | None = None
    at_least: bool = False

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError("a value needs no reason, and no value needs one")
        if self.at_least and self.value is None:
            raise ValueError("what has no value is no lower bound")

    def as_json(self) -> dict[str, Any]:
        """For programs; at_least is there only where it holds."""
        plain = asdict(self)
        if not self.at_least:
            del plain["at_least"]
        return plain

    def censored(self, cut_off: bool = True) -> "Measured":
        """The same value as a lower bound, where it was cut off; what was not measured stays so."""
        return replace(self, at_least=cut_off and self.value is not None)


def missing(unit: str, source: str, reason: str) -> Measured:
    """A metric that was not measured, and why."""
    return Measured(None, unit, source, reason)
