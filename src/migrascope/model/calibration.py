"""A stored calibration: what the meter's error was on a machine, against known truths (see `migrascope calibrate`), and
beside which run it may be quoted."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from migrascope.model.load import Load

ALIKE = 1.5
"""The largest ratio of two rates of visits at which one load is like the other."""
_Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Condition:
    """Under what truths are made. load: "idle", or "loaded" while visitors and viewers use the guest. added_rtt_s: what
    the visitors' link adds to each round trip."""

    load: Literal["idle", "loaded"] = "idle"
    added_rtt_s: _Finite = 0.0

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Condition":
        """Under which a row was made."""
        return cls(row["load"], row["added_rtt_s"])

    def words(self) -> str:
        far = f", {1e3 * self.added_rtt_s:.0f} ms away" if self.added_rtt_s else ""
        return f"{self.load}{far}"


CONDITIONS = (Condition(), Condition("loaded"), Condition(added_rtt_s=0.01), Condition(added_rtt_s=0.05))


class _Row(BaseModel):
    """A row as analysis/accuracy.py makes it; s, errors are measured less truth. What an earlier version stored was all
    made idle and near."""

    model_config = ConfigDict(strict=True)

    load: Literal["idle", "loaded"] = "idle"
    added_rtt_s: _Finite = 0.0
    layer: str
    truth: str
    nominal_s: _Finite | None
    truth_s: _Finite
    truth_bound_s: _Finite
    bias_s: _Finite
    abs_error_median_s: _Finite
    abs_error_p95_s: _Finite
    n: int


_ROWS: TypeAdapter[list[_Row]] = TypeAdapter(list[_Row])
_RATE: TypeAdapter[float | None] = TypeAdapter(_Finite | None)


@dataclass(frozen=True)
class Calibration:
    """rows: of every condition. load: who used the guest in the loaded ones, None without them. echo_rate: probes
    a second, None where it is not known. Both are of all address families together."""

    rows: list[dict[str, Any]]
    load: Load | None
    echo_rate: float | None

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "Calibration":
        """ValueError where it is none."""
        load = stored.get("load")
        return cls(
            [row.model_dump() for row in _ROWS.validate_python(stored.get("rows"))],
            None if load is None else Load.from_json(load),
            _RATE.validate_python(stored.get("echo_rate")),
        )

    def condition_of(self, load: Load | None, echo_rate: float) -> Condition | None:
        """The condition that a run's was like: the same probes, and nobody who visits or about as many; else None, also
        where the run's load is not known."""
        if load is None or self.echo_rate != echo_rate:
            return None
        if not (load.new_rate or load.kept_rate or (load.viewers and load.scenario != "none")):
            return Condition()
        return Condition("loaded") if self.load is not None and _alike(self.load, load) else None

    def quoted(self, load: Load | None, echo_rate: float) -> list[dict[str, Any]]:
        """All rows, each with whether it may be quoted beside a run with this load and these probes."""
        like = self.condition_of(load, echo_rate)
        return [row | {"quoted": like is not None and Condition.of(row) == like} for row in self.rows]

    def words(self) -> str:
        """With what load and probes it was made."""
        loaded = "idle" if self.load is None else f"idle and with {self.load.visits()}"
        return loaded if self.echo_rate is None else f"{loaded}, {self.echo_rate:g} probes/s"


def _alike(first: Load, second: Load) -> bool:
    rates = (first.new_rate, second.new_rate), (first.kept_rate, second.kept_rate)
    return first.viewers == second.viewers and all(max(pair) <= ALIKE * min(pair) for pair in rates)
