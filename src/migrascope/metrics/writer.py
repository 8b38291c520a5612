"""What the steady writer in the guest reached, from its own count at the guest's own clock."""

import polars as pl

from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "stress"
REACHED = 0.95


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """writer_Bps.before and writer_Bps.during: bytes that it dirtied in a second of the guest's clock."""
    return {f"writer_Bps.{name}": _rate(recording, windows, name) for name in ("before", "during")}


def warnings(recording: Recording, found: dict[str, Measured]) -> list[str]:
    """A sentence where the writer fell short of its rate before anything was migrated, or is not known to have
    reached it. What a migration takes from it is a figure, and no fault."""
    wanted = recording.trial.factors.write_Bps
    if not wanted:
        return []
    reached = found["writer_Bps.before"]
    if reached.value is None:
        return [f"whether the writer reached its {wanted / 1e6:g} MB/s is not known: {reached.reason}"]
    if reached.value >= REACHED * wanted:
        return []
    return [f"the writer reached {reached.value / 1e6:.3g} of {wanted / 1e6:g} MB/s before the migration"]


def _rate(recording: Recording, windows: Windows, name: str) -> Measured:
    if not recording.trial.factors.write_Bps:
        return missing("B/s", SOURCE, "the plan has no writer")
    span = windows.span(name)
    if span is None:
        return missing("B/s", SOURCE, f"the trial has no window {name}")
    rows = recording.table("stress").filter(pl.col("state") == "running").sort("guest_s")
    inside = rows.filter((pl.col("asked_ns") >= span[0]) & (pl.col("answered_ns") <= span[1]))
    if inside["guest_s"].n_unique() < 2:
        return missing("B/s", SOURCE, f"fewer than two answers of the writer in {name}")
    wrote = int(inside["bytes"][-1]) - int(inside["bytes"][0])
    took = float(inside["guest_s"][-1]) - float(inside["guest_s"][0])
    return Measured(wrote / took, "B/s", SOURCE, samples=inside.height)
