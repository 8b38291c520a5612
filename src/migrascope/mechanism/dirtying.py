"""What a guest dirties: D(t), the bytes of memory that are dirty so long after none was, from measured periods."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STEPS_PER_PERIOD = 2
"""Time constants that are tried between two measured periods' doubling, and how far beyond the longest they go."""
BEYOND = 8.0
LEAST_SHARE = 1e-6
"""A set that holds a smaller share of what is dirtied is none."""


class Dirty(NamedTuple):
    """So many bytes were found to be dirty after a period that began with none."""

    period_s: float
    dirty_bytes: float


@dataclass(frozen=True)
class WorkingSet:
    """size bytes of memory, written with rate_Bps bytes of pages a second, counted from clean: at random places, or in
    the order of its pages, so that none is written again before all are."""

    size: float
    rate_Bps: float
    in_order: bool = False

    def share_within(self, seconds: float) -> float:
        """The share of its clean pages that are dirty so long after."""
        turns = self.rate_Bps * seconds / self.size
        return min(1.0, turns) if self.in_order else -math.expm1(-turns)


@dataclass(frozen=True)
class Dirtying:
    """D(t) = sum of W (1 - exp(-rate t / W)) over working sets that are written at random places, and of the lesser of
    W and rate t over those that are written in order: a page that is written again counts once."""

    sets: tuple[WorkingSet, ...] = ()

    def within(self, seconds: float) -> float:
        """D(seconds) in bytes."""
        return sum(each.size * each.share_within(seconds) for each in self.sets)

    @property
    def size(self) -> float:
        """Bytes that are dirtied at all."""
        return sum(each.size for each in self.sets)

    def times(self, share: float) -> "Dirtying":
        """The same memory, dirtied so many times as fast."""
        return Dirtying(tuple(replace(each, rate_Bps=share * each.rate_Bps) for each in self.sets))

    @classmethod
    def fitted(cls, points: Sequence[Dirty], most_bytes: float) -> "Dirtying":
        """The sum that comes nearest to measured points, by relative error, with sizes that are not negative.
        most_bytes: what can be dirtied at all. ValueError without a point, or with a period that is not positive."""
        if not points or any(point.period_s <= 0 or point.dirty_bytes < 0 for point in points):
            raise ValueError("D(t) needs measured periods longer than 0 s, with bytes of 0 or more")
        most = max(point.dirty_bytes for point in points)
        if most < 1:
            return cls()  # less than a byte
        periods = np.array([point.period_s for point in points])
        values = np.array([point.dirty_bytes for point in points])
        weights = 1 / np.maximum(values, 0.01 * most)
        tried = _tried(float(periods.min()), float(periods.max()))
        shapes = np.array([[each.share_within(period) for each in tried] for period in periods]) * weights[:, None]
        sizes = nonnegative_least_squares(shapes, values * weights)
        found = [
            replace(each, size=float(size), rate_Bps=float(size) * each.rate_Bps)
            for size, each in zip(sizes, tried, strict=True)
            if size > LEAST_SHARE * most
        ]
        return cls(_bounded(found, most_bytes))


def _tried(shortest_s: float, longest_s: float) -> list[WorkingSet]:
    """Working sets of one byte, of all time constants, and a line: what is written in order and not once through within
    the longest period. One that is through sooner would bend between two periods, where nobody looked."""
    least, most = shortest_s / 4, longest_s * BEYOND
    count = 1 + math.ceil(STEPS_PER_PERIOD * math.log2(most / least))
    at_random = [WorkingSet(1.0, 1 / float(constant)) for constant in np.geomspace(least, most, count)]
    return [*at_random, WorkingSet(1.0, 1 / most, in_order=True)]


def _bounded(sets: Sequence[WorkingSet], most_bytes: float) -> tuple[WorkingSet, ...]:
    """Together no larger than can be dirtied: the slowest are made smaller first, at the same rate, since of them the
    least was seen."""
    left, kept = most_bytes, []
    for each in sorted(sets, key=lambda each: each.size / each.rate_Bps):
        size = min(each.size, left)
        if size > 0:
            kept.append(replace(each, size=size))
        left -= size
    return tuple(kept)


def nonnegative_least_squares(shapes: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """x >= 0 with the least |shapes x - values|, by the active sets of Lawson and Hanson (1974, chapter 23)."""
    count = shapes.shape[1]
    x, free = np.zeros(count), np.zeros(count, dtype=bool)
    tolerance = 1e-10 * float(np.abs(shapes.T @ values).max() or 1.0)
    for _ in range(10 * count):
        slope = shapes.T @ (values - shapes @ x)
        slope[free] = -np.inf
        if free.all() or slope.max() <= tolerance:
            break
        free[int(slope.argmax())] = True
        while free.any():
            tried = np.zeros(count)
            tried[free] = np.linalg.lstsq(shapes[:, free], values, rcond=None)[0]
            if tried[free].min() > 0:
                x = tried
                break
            falling = free & (tried <= 0)
            step = float((x[falling] / np.maximum(x[falling] - tried[falling], 1e-300)).min())
            x = x + step * (tried - x)
            free &= x > 1e-12 * max(1.0, float(x.max()))
            x[~free] = 0.0
    return x
