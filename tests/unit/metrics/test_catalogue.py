"""The catalogue holds every metric that is measured, once, with its unit."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cloudtrial
import pytest
from faketrial import record

from migrascope.metrics.catalogue import METRICS, meaning, metric_of
from migrascope.metrics.trial import measure
from migrascope.store.recording import Recording

PAGES = Path(__file__).parents[3] / "docs" / "metrics"


def test_every_metric_is_in_it_with_its_unit(tmp_path: Path) -> None:
    found = measure(record(tmp_path))
    assert {key: metric.unit for key in found if (metric := metric_of(key))} == {
        key: measured.unit for key, measured in found.items()
    }


def test_no_key_is_there_twice() -> None:
    counted = Counter(key for metric in METRICS for key in metric.expanded())
    assert [key for key, times in counted.items() if times > 1] == []


def test_a_meaning_names_window_and_rank() -> None:
    assert meaning("probe.rtt_s.before.p95") == (
        "round trip of echo probes; in the steady state before the request; p95 of all in it"
    )
    assert meaning("fleet.vm-12.waited_s") == "of one instance"
    assert meaning("probe.rtt_s.never.p95") is None


ON_EVERY_LAB = {
    "vm_pause_s", "network_blackout_s", "http_new_blackout_s", "visitor.lost_s.during", "hypervisor_cpu_s.source",
}  # fmt: skip
ON_A_CLOUD = {"step_s.pre_live_migration", "step_s.check_destination", "wiring.left_s", "libvirt_total_s"}


@pytest.mark.parametrize(("made", "least"), [(record, ON_EVERY_LAB), (cloudtrial.record, ON_EVERY_LAB | ON_A_CLOUD)])
def test_each_bound_has_parts_and_each_part_is_on_its_metric_s_page(
    tmp_path: Path, made: Callable[[Path], Recording], least: set[str]
) -> None:
    bounded = {key: item for key, item in measure(made(tmp_path)).items() if item.bound is not None}
    assert least <= set(bounded)
    for key, measured in bounded.items():
        assert measured.errors, key
        metric = metric_of(key)
        assert metric is not None
        page = (PAGES / f"{metric.page}.md").read_text(encoding="utf-8")
        assert [part for part, _ in measured.errors if f"`{part}`" not in page] == [], key
        assert measured.bound == pytest.approx(sum(error for _, error in measured.errors)), key
        assert measured.as_json()["errors"] == dict(measured.errors)
