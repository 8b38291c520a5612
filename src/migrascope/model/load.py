"""The load of our own that a guest bears: how many visits a second and how many viewers, and how that was found."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from migrascope.model.units import number_of

SCHEMA = 1
PROCESSOR_SHARE = 0.5
"""The share of one core of the guest up to which visits are added. The website's server runs on one core."""
PROCESSOR_MOST = 0.6
"""The most of it that probes, visitors and viewers may take in the window before a migration."""
SATURATED = 0.75
"""The share of one core from which on a guest that was silent takes over four times as long as that to catch up."""
LEAST_RATE = 5.0
"""Visits a second of each kind below which a blackout is resolved too coarsely: then there are fewer viewers first."""
NOT_SERVED = "not served: "
"""So begins the error of a visit that was not made, because the guest had too many in its hands."""
_Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
How = Literal["found", "kept", "plan", "run", "full"]


@dataclass(frozen=True)
class Tried:
    """One step of the search: visits a second of each kind, the share of them answered in time, and the share of one
    core that the guest used (None where it did not say)."""

    rate: float
    in_time: float
    busy: float | None
    viewers: int


@dataclass(frozen=True)
class Load:
    """Visits a second of both kinds and viewers.

    how: "found" on this machine before the run, "kept" from an earlier run on it, "plan" where the plan's numbers are
    taken, "run" where another run's are, "full" on a lab where nothing is searched for. serves: visits a second of each
    kind with which the guest's processor would be full, None where nobody measured it. fits: the rate of each kind that
    fits, None where nobody measured it. busy: the guest's share of one core at the found rate. scenario: the heaviest
    one of the plan, with which it was found.
    """

    new_rate: _Rate
    kept_rate: _Rate
    viewers: Annotated[int, Field(ge=0)]
    how: How
    serves: float | None = None
    fits: float | None = None
    busy: float | None = None
    scenario: str = ""
    found_at: str = ""
    tried: tuple[Tried, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> "Load":
        """ValueError for what as_json did not give."""
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise ValueError(f"not a load of schema {SCHEMA}")
        return TypeAdapter(cls).validate_python(value)

    def as_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    def over(self, families: int) -> "Load":
        """All that comes where as much comes over each of so many address families."""
        return replace(
            self, new_rate=families * self.new_rate, kept_rate=families * self.kept_rate,
            viewers=families * self.viewers,
        )  # fmt: skip

    def words(self) -> str:
        """What a person should know of it, in a line."""
        serves = f": this guest serves {self.serves:.0f}" if self.serves is not None else ""
        return f"{self.visits()}{serves}"

    def visits(self) -> str:
        """Who comes, in words."""
        same = self.new_rate == self.kept_rate
        rates = f"{self.new_rate:g}" if same else f"{self.new_rate:g} new and {self.kept_rate:g} kept"
        viewers = f", {number_of('viewer', self.viewers)}" if self.scenario != "none" else ""
        return f"{rates} visits/s{' of each kind' if same else ''}{viewers}"
