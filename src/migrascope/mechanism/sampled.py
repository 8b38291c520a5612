"""What was sampled of a guest's memory before its migration, from the answers in table sample."""

import json

from migrascope.mechanism.dirtying import Dirty

MIB = 2**20
ROUNDED_MIB = 0.5
"""QEMU rounds its rate down to whole MiB/s: half of one is lost on average."""


def dirtied(period_s: float, answer: str) -> Dirty:
    """D(period), of QEMU's answer to query-dirty-rate."""
    rate = json.loads(answer)["dirty-rate"]
    return Dirty(period_s, (rate + ROUNDED_MIB) * MIB * period_s if rate else 0.0)


def share_held(pages: int, answer: str) -> float:
    """The share of the pages looked at that hold something."""
    return min(1.0, float(json.loads(answer)) / pages)
