"""A measured value: never a bare number, and never a 0 that means "not measured"."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

ERRORS = {
    "resolution": "the spacing of probes, visits or polls, or the last digit of a stamp",
    "clock": "how far the clocks of its stamps may differ, or were set meanwhile",
    "round_trip": "how much quiet round trips differ from one another",
    "lateness": "how late our own programs sent",
    "scatter": "how unevenly the window before was served",
}
"""What parts of an error come from."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One number of one trial, in base units (s, B, bit/s, B/s, ratio, 1).

    value is None exactly when reason says why. bound is the half-width of the error that the method itself admits, None
    where nobody knows it, as where it was computed to be 0; samples the number of observations behind the value, source
    the table or program. errors: the parts of the bound by what they come from (see ERRORS), half-widths that add up
    to it, for the worst of one may meet the worst of the others; empty where the bound has no parts. at_least: the
    value was cut off, by the end of the observation or because what was waited for never came: it is a lower bound
    (right-censored).
    """

    value: float | None
    unit: str
    source: str
    reason: str | None = None
    bound: float | None = None
    samples: int | None = None
    at_least: bool = False
    errors: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError("a value needs no reason, and no value needs one")
        if self.at_least and self.value is None:
            raise ValueError("what has no value is no lower bound")
        if not self.bound:
            object.__setattr__(self, "bound", None)

    def as_json(self) -> dict[str, Any]:
        """For programs; at_least and errors are there only where they say something."""
        plain = {name: getattr(self, name) for name in _NAMES} | {"errors": dict(self.errors)}
        return {key: value for key, value in plain.items() if value or key not in ("at_least", "errors")}

    def within(self, **errors: float | None) -> "Measured":
        """The same value with the parts of its error, and their sum as its bound; None: not known."""
        if unknown := set(errors) - set(ERRORS):
            raise ValueError(f"no part of an error: {', '.join(sorted(unknown))}")
        known = tuple((name, error) for name, error in errors.items() if error)
        return replace(self, errors=known, bound=added(*(error for _, error in known)))

    def censored(self, cut_off: bool = True) -> "Measured":
        """The same value as a lower bound, where it was cut off; what was not measured stays so."""
        return replace(self, at_least=cut_off and self.value is not None)


_NAMES = tuple(field.name for field in fields(Measured))


def missing(unit: str, source: str, reason: str) -> Measured:
    """A metric that was not measured, and why."""
    return Measured(None, unit, source, reason)


def added(*bounds: float | None) -> float | None:
    """The bound of a sum or a difference: the sum of its parts' bounds, of those that are known. None where none is,
    for nobody knows a bound of 0."""
    return sum(bound for bound in bounds if bound is not None) or None


def summed(*errors: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The parts of the error of a sum or a difference: those of each, added by what they come from."""
    found: dict[str, float] = {}
    for name, error in chain(*errors):
        found[name] = found.get(name, 0.0) + error
    return found
