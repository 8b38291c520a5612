"""CPU time of a QEMU that ends with the migration, as under libvirt."""

from pathlib import Path

import polars as pl
import pytest
from faketrial import record

from migrascope.metrics.trial import measure
from migrascope.metrics.windows import windows_of
from migrascope.store.recording import Recording


def test_of_a_qemu_that_ended_with_the_migration_it_is_a_lower_bound(tmp_path: Path) -> None:
    recording = record(tmp_path)
    windows = windows_of(recording)
    assert windows.stop is not None
    assert windows.request is not None
    table = recording.table("process_cpu")
    ends = (pl.col("process") == "qemu-host-a") & (pl.col("mono_ns") > windows.stop)
    begins = pl.col("process") == "qemu-host-b"
    table.filter(~ends & ~begins).write_parquet(recording.folder / "process_cpu.parquet")
    whole, found = measure(recording), measure(Recording(recording.folder))
    used, cut = whole["hypervisor_cpu_s.source"], found["hypervisor_cpu_s.source"]
    assert not used.at_least
    assert cut.at_least
    assert cut.value is not None
    assert 0 < cut.value < (used.value or 0)
    samples = table.filter(pl.col("process") == "qemu-host-a").sort("mono_ns")
    before = samples.filter(pl.col("mono_ns") <= windows.request)["cpu_s"][-1]
    last = samples.filter(pl.col("mono_ns") <= windows.stop)["cpu_s"][-1]
    assert cut.value == pytest.approx(last - before)
    assert found["hypervisor_cpu_s.destination"].value is None
