"""What was sampled of a guest's memory before its migration, from the answers in table sample."""

import json
from collections.abc import Sequence
from itertools import pairwise

from migrascope.mechanism.dirtying import Dirty

MIB = 2**20
ROUNDED_MIB = 0.5
"""QEMU rounds its rate down to whole MiB/s: half of one is lost on average."""


def dirtied(period_s: float, answer: str) -> Dirty:
    """D(period), of QEMU's answer to query-dirty-rate."""
    return dirtied_at(period_s, json.loads(answer)["dirty-rate"])


def dirtied_at(period_s: float, rate: int) -> Dirty:
    """D(period), of a rate in MiB/s that QEMU has measured over it."""
    return Dirty(period_s, (rate + ROUNDED_MIB) * MIB * period_s if rate else 0.0)


def unheld(points: Sequence[Dirty]) -> list[Dirty]:
    """The same periods, with what a guest would have dirtied that never had to wait for its processor: waiting makes
    samples smaller and nothing makes them larger, while D(t) rises ever more slowly. So it is the least such curve from
    0 that no sample is above."""
    hull = [Dirty(0.0, 0.0)]
    for point in sorted(points):
        if point.dirty_bytes < hull[-1].dirty_bytes:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-2], point):
            hull.pop()
        hull.append(point)
    return [Dirty(point.period_s, _on(hull, point.period_s)) for point in points]


def _slope(old: Dirty, new: Dirty) -> float:
    return (new.dirty_bytes - old.dirty_bytes) / max(new.period_s - old.period_s, 1e-9)


def _on(hull: Sequence[Dirty], period_s: float) -> float:
    """The curve's height; beyond its last point that of it."""
    for old, new in pairwise(hull):
        if period_s <= new.period_s:
            return old.dirty_bytes + _slope(old, new) * (period_s - old.period_s)
    return hull[-1].dirty_bytes


def share_held(pages: int, answer: str) -> float:
    """The share of the pages looked at that hold something."""
    return min(1.0, float(json.loads(answer)) / pages)
