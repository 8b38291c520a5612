"""The catalogue holds every metric that is measured, once, with its unit."""

from collections import Counter
from pathlib import Path

from faketrial import record

from migrascope.metrics.catalogue import METRICS, meaning, metric_of
from migrascope.metrics.trial import measure


def test_every_metric_is_in_it_with_its_unit(tmp_path: Path) -> None:
    found = measure(record(tmp_path))
    assert {key: metric.unit for key in found if (metric := metric_of(key))} == {
        key: one.unit for key, one in found.items()
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
