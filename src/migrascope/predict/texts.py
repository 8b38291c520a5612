"""Predicted and measured figures as people read them."""

import math
from collections.abc import Callable, Sequence

from migrascope.predict.predictor import Figure, Prediction

DASH = "-"


def percent(value: float | None) -> str:
    if value is None:
        return DASH
    return "never ends" if math.isinf(value) else f"{100 * value:.0f} %"


def ms(value: float | None) -> str:
    if value is None:
        return DASH
    return "never ends" if math.isinf(value) else f"{1000 * value:.0f} ms"


def seconds(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f} s"


def megabytes(value: float | None) -> str:
    return DASH if value is None else f"{value / 1e6:.0f} MB"


FIGURE_TEXTS: dict[Figure, Callable[[float | None], str]] = {
    "time_s": seconds, "pause_s": ms, "data_bytes": megabytes,
}  # fmt: skip


def figure_text(prediction: Prediction, figure: Figure) -> str:
    """The likeliest value, and its interval where it has one."""
    text = FIGURE_TEXTS[figure]
    value = text(getattr(prediction.course, figure) if prediction.course.ends else None)
    interval = prediction.intervals.get(figure)
    if interval is None:
        return value
    low, high = text(interval.low), text(interval.high)
    unit = value.rpartition(" ")[2]
    if low.endswith(f" {unit}") and high.endswith(f" {unit}"):
        low, high = low.removesuffix(f" {unit}"), high.removesuffix(f" {unit}")
    return f"{value} ({low}–{high})"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, its columns one beneath the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(size) for text, size in zip(row, widths, strict=True)).rstrip() for row in rows]
