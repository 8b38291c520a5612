"""Quantities of a plan as TOML says them, with their units written out, and kept in base units."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from migrascope.model import units

_LARGEST = 1e12
DAY_S = 86400.0


def _quantity(parse: Any, text: Any) -> Any:
    def read(value: Any) -> Any:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("write a number and its unit in quotes")
        if not 0 <= value <= _LARGEST:
            raise ValueError("write a number and its unit in quotes")
        raise ValueError(f"{value!r} has no unit: write it in quotes, as in {text(value)!r}")

    return read


Duration = Annotated[
    float,
    BeforeValidator(_quantity(units.parse_duration, units.duration_text)),
    PlainSerializer(units.duration_text, when_used="json"),
]
Rate = Annotated[
    float,
    BeforeValidator(_quantity(units.parse_rate, units.rate_text)),
    PlainSerializer(units.rate_text, when_used="json"),
]
Size = Annotated[
    int,
    BeforeValidator(_quantity(units.parse_size, units.size_text)),
    PlainSerializer(units.size_text, when_used="json"),
]
ByteRate = Annotated[
    float,
    BeforeValidator(_quantity(units.parse_byte_rate, units.byte_rate_text)),
    PlainSerializer(units.byte_rate_text, when_used="json"),
]
Share = Annotated[
    float,
    BeforeValidator(_quantity(units.parse_share, units.share_text)),
    PlainSerializer(units.share_text, when_used="json"),
]


class Part(BaseModel):
    """A table of a plan: unknown keys are mistakes, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)
