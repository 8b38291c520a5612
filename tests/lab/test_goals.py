"""What the lab must reach, measured for hours: each prints its table, which documents quote."""

import pytest

import link
import meter
import observer
import observer_capture
import policies
import second_meter
from common import run_plan
from kept import Kept

pytestmark = [pytest.mark.lab, pytest.mark.soak]


def test_the_meter_against_known_cuts(kept: Kept) -> None:
    table = meter.table(meter.measured(repeats=10))
    assert "missed" not in table, table
    kept.write(table)


@pytest.mark.parametrize("lab", ["qemu", "libvirt"])
def test_the_observers_effect(kept: Kept, lab: str) -> None:
    table = observer.table(run_plan(observer.plan(pairs=20, lab=lab)))
    assert "missed" not in table, table
    kept.write(table)


def test_capturing_changes_nothing_and_the_capture_agrees(kept: Kept) -> None:
    done = observer_capture.measured(pairs=20)
    tables = [observer_capture.table(done, "capture / none"), second_meter.table([run for run, _ in done])]
    assert "missed" not in "".join(tables), tables
    kept.write("\n".join(tables))


def test_the_link_is_used(kept: Kept) -> None:
    table = link.table(link.measured(trials=5))
    assert "missed" not in table, table
    kept.write(table)


def test_each_policy_s_cost(kept: Kept) -> None:
    table = policies.table(*policies.measured("policies"))
    assert "missed" not in table, table
    kept.write(table)


def test_data_and_downtime_under_each_limit(kept: Kept) -> None:
    summary, seconds = policies.measured("limits")
    assert {finding.topic for finding in summary.findings} >= {"regime", "limit"}
    kept.write(policies.table(summary, seconds))
