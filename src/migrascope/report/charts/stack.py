"""Bars of parts that add up. A part below zero lies left of zero, so that it is seen as one. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Parts = Mapping[str, float]
"""Sizes in one unit, by name, in the order in which they are laid."""
NOTE = "Hatched, left of the line at zero: a part below zero; the total takes it off."


@dataclass(frozen=True)
class Laid:
    """Where a part lies, in the unit of its bar; size is below zero where the part is."""

    name: str
    start: float
    size: float

    @property
    def end(self) -> float:
        """Its right edge."""
        return self.start + abs(self.size)


def laid(parts: Parts) -> list[Laid]:
    """The parts above zero one after another to its right, those below zero to its left."""
    left = right = 0.0
    found = []
    for name, size in parts.items():
        if size < 0:
            left += size
        found.append(Laid(name, left if size < 0 else right, size))
        right += max(size, 0.0)
    return found


@dataclass(frozen=True)
class Scale:
    """The ends that the bars of one section share; low is 0 where no part is below it."""

    low: float
    high: float

    @classmethod
    def of(cls, bars: Iterable[Parts], room: float) -> "Scale":
        """From the parts furthest left and right, with the right end times `room`."""
        placed = [bar for parts in bars for bar in laid(parts)]
        low, high = min((bar.start for bar in placed), default=0.0), max((bar.end for bar in placed), default=0.0)
        return cls(low, high * room)

    def share(self, size: float) -> float:
        """A size as a percentage of the bar."""
        return 100 * size / (self.high - self.low or 1.0)


@dataclass(frozen=True)
class Look:
    """What a section's bars look like. titles: the parts' names in words, tones: their CSS classes; labels: what stands
    in a part instead of its size. A label is left out of a part narrower than `fits` percent."""

    unit: str
    digits: int
    titles: Mapping[str, str]
    tones: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    fits: float = 5.0

    def figure(self, size: float) -> str:
        """A size in figures, without its unit; what would be rounded to a zero below zero keeps a digit."""
        text = f"{size:.{self.digits}f}"
        return f"{size:.1g}" if size < 0 and not float(text) else text


def drawn(parts: Parts, scale: Scale, look: Look) -> dict[str, Any]:
    """A bar as the page draws it, places in percent. zero: where zero is, None at the left end."""
    boxes = [_box(bar, scale, look) for bar in laid(parts)]
    return {
        "boxes": [box for box in boxes if box["width"]],
        "zero": scale.share(-scale.low) or None,
        "told": ", ".join(box["told"] for box in boxes),
        "below": "; ".join(box["told"] for box in boxes if box["below"]),
        "total": f"{look.figure(sum(parts.values()))} {look.unit}",
    }


def _box(bar: Laid, scale: Scale, look: Look) -> dict[str, Any]:
    width, below = scale.share(abs(bar.size)), bar.size < 0
    label = look.labels.get(bar.name, look.figure(bar.size))
    return {
        "tone": look.tones[bar.name],
        "left": scale.share(bar.start - scale.low),
        "width": width,
        "below": below,
        "label": label if width > look.fits and not below else "",
        "told": f"{look.titles[bar.name]} {look.figure(bar.size)} {look.unit}",
    }
