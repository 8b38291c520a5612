"""CPU time that both hypervisors used while they migrated."""

import polars as pl

from migrascope.metrics.packets import NS
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "process_cpu"


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """hypervisor_cpu_s.source and .destination: CPU seconds of the QEMU there in during, the guest's own in them. A
    lower bound where it ended within during: up to its last sample."""
    trial = recording.trial
    sides = {"source": trial.source, "destination": trial.destination}
    table = recording.table("process_cpu")
    return {f"hypervisor_cpu_s.{side}": _used(table, windows, f"qemu-{host}") for side, host in sides.items()}


def _used(table: pl.DataFrame, windows: Windows, process: str) -> Measured:
    if windows.during is None:
        return missing("s", SOURCE, "the trial has no window during")
    rows = table.filter(pl.col("process") == process).sort("mono_ns")
    before = rows.filter(pl.col("mono_ns") <= windows.during[0]).tail(1)
    after = rows.filter(pl.col("mono_ns") >= windows.during[1]).head(1)
    ended = after.is_empty()
    if ended:
        after = rows.filter(pl.col("mono_ns").is_between(*windows.during)).tail(1)
    if before.is_empty() or after.is_empty():
        return missing("s", SOURCE, f"no sample of {process} before, or after, the migration")
    took = (int(after["mono_ns"][0]) - int(before["mono_ns"][0])) / NS
    used = float(after["cpu_s"][0]) - float(before["cpu_s"][0])
    if ended:
        return Measured(used, "s", SOURCE, samples=2, at_least=True)
    wider = took - (windows.during[1] - windows.during[0]) / NS
    return Measured(used, "s", SOURCE, samples=2).within(resolution=wider)
