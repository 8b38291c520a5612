"""A stored calibration: what the meter's error was on a machine, against known truths (see `migrascope calibrate`)."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Row(BaseModel):
    """A row as analysis/accuracy.py makes it; s, errors are measured less truth."""

    model_config = ConfigDict(strict=True)

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


def calibrated(stored: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a stored calibration. ValueError where it is none."""
    return [row.model_dump() for row in _ROWS.validate_python(stored.get("rows"))]
