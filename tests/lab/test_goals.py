"""What the lab must reach, measured for hours: each prints its table, which documents quote."""

import pytest

import link
import meter
import observer
from common import run_plan
from kept import Kept

pytestmark = [pytest.mark.lab, pytest.mark.soak]


def test_the_meter_against_known_cuts(kept: Kept) -> None:
    table = meter.table(meter.measured(repeats=10))
    assert "missed" not in table, table
    kept.write(table)


def test_the_observers_effect(kept: Kept) -> None:
    table = observer.table(run_plan(observer.plan(pairs=20)))
    assert "missed" not in table, table
    kept.write(table)


def test_the_link_is_used(kept: Kept) -> None:
    table = link.table(link.measured(trials=5))
    assert "missed" not in table, table
    kept.write(table)
