"""Predicted and measured figures as people read them."""

import math
import textwrap
from collections.abc import Callable, Sequence

from migrascope.predict.predictor import Figure, Prediction

DASH = "-"
WIDTH = 80
"""Columns of a terminal that a table may take."""
_INDENT = "  "


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

TITLES: dict[Figure, str] = {"time_s": "time", "pause_s": "pause", "data_bytes": "data"}


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


def titled(prediction: Prediction) -> list[str]:
    """Every figure with what it is, and whether it ends."""
    figures = [f"{title} {figure_text(prediction, figure)}" for figure, title in TITLES.items()]
    return [*figures, ends_text(prediction)]


def ends_text(prediction: Prediction) -> str:
    return f"ends {percent(prediction.ends)}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line for each row, its columns one beneath the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(size) for text, size in zip(row, widths, strict=True)).rstrip() for row in rows]


def prose(text: str) -> list[str]:
    """A sentence in lines that fit into WIDTH."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=_INDENT, break_on_hyphens=False)


def named(names: Sequence[str], figures: Sequence[Sequence[str]]) -> list[str]:
    """A line for each name and beneath it its figures, as many to a line as fit into WIDTH, one beneath the other."""
    most = max(map(len, figures), default=0)
    while most > 1 and max(map(len, aligned(_broken(figures, most)))) > WIDTH - len(_INDENT):
        most -= 1
    below = iter(aligned(_broken(figures, most)))
    return [
        line
        for name, row in zip(names, figures, strict=True)
        for line in (name, *(_INDENT + next(below) for _ in range(0, len(row), most)))
    ]


def _broken(figures: Sequence[Sequence[str]], most: int) -> list[list[str]]:
    """Rows of so many columns."""
    rows = [list(row[at : at + most]) for row in figures for at in range(0, len(row), most)]
    return [row + [""] * (most - len(row)) for row in rows]
