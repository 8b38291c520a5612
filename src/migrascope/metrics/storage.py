"""The copy of a volume to the destination: how long it took, and what of the data on the link was the disk's."""

import numpy as np
import polars as pl

from migrascope.metrics.hostclock import STAMP_NS
from migrascope.metrics.link import HEADERS, stream_family
from migrascope.metrics.migration import volume_ready_ns
from migrascope.metrics.packets import NS
from migrascope.metrics.windows import QmpEvent, Windows, qmp_events
from migrascope.model.measured import Measured, missing
from migrascope.model.phase import copies
from migrascope.model.storage import COPIED, COPYING
from migrascope.store.recording import Recording

EVENTS, FLOW = "qmp_event", "flow"
_UNITS = {"storage_copy_s": "s", "disk_data_bytes": "B", "reported_disk_bytes": "B", "memory_data_bytes": "B"}
_SHARED = "no volume was copied: both hosts reach the same"
_ELSEWHERE = "this lab does not say where the volume is"
_ENDED = "the copy of the volume did not come to its end"
_UNCOUNTED = "this kernel counts no single flow of a bridge (nftables)"


def measure(recording: Recording, windows: Windows, data: Measured) -> dict[str, Measured]:
    """storage_copy_s, disk_data_bytes, reported_disk_bytes and memory_data_bytes. data: data_transferred_bytes."""
    if recording.trial.plan.get("lab", {}).get("kind") not in COPYING:
        return {key: missing(unit, EVENTS, _ELSEWHERE) for key, unit in _UNITS.items()}
    if recording.trial.factors.storage != COPIED:
        none = {key: missing(unit, EVENTS, _SHARED) for key, unit in _UNITS.items()}
        return none | {"memory_data_bytes": data}
    disk = _disk(recording, windows)
    return {
        "storage_copy_s": _time(recording),
        "disk_data_bytes": disk,
        "reported_disk_bytes": _reported(recording),
        "memory_data_bytes": _memory(data, disk, begun=volume_ready_ns(recording) is not None),
    }


def _events(recording: Recording) -> list[QmpEvent]:
    """Those of the source's QEMU about its jobs, since the request."""
    names = ("JOB_STATUS_CHANGE", "BLOCK_JOB_COMPLETED")
    return [event for event in qmp_events(recording, names) if event.host == recording.trial.source]


def _time(recording: Recording) -> Measured:
    began = next((event for event in _events(recording) if _begins(event)), None)
    if began is None:
        return missing("s", EVENTS, "no copy of a volume began")
    ready = volume_ready_ns(recording)
    if ready is None:
        return missing("s", EVENTS, _ENDED)
    return Measured((ready - began.mono_ns) / NS, "s", EVENTS, samples=1).within(resolution=2 * STAMP_NS / NS)


def _begins(event: QmpEvent) -> bool:
    data = event.data
    return event.event == "JOB_STATUS_CHANGE" and data.get("status") == "running" and copies(str(data.get("id")))


def _reported(recording: Recording) -> Measured:
    done = [event for event in _events(recording) if event.event == "BLOCK_JOB_COMPLETED"]
    offsets = [event.data["offset"] for event in done if not event.data.get("error")]
    if not offsets:
        return missing("B", EVENTS, "QEMU told of no copy of a volume that it completed")
    return Measured(float(sum(offsets)), "B", EVENTS, samples=len(offsets))


def _disk(recording: Recording, windows: Windows) -> Measured:
    """Payload of the copy's connection, both ways: from the last sample before the request to the first after
    during."""
    if windows.during is None:
        return missing("B", FLOW, "the trial has no window during")
    rows = recording.table(FLOW).sort("mono_ns")
    if rows.is_empty():
        return missing("B", FLOW, _UNCOUNTED)
    first = int(np.searchsorted(rows["mono_ns"], windows.during[0], side="right")) - 1
    last = int(np.searchsorted(rows["mono_ns"], windows.during[1], side="left"))
    if first < 0 or last >= rows.height:
        return missing("B", FLOW, "no sample of the copy's counters before, or after, the migration")
    headers = HEADERS[stream_family(recording)]
    payload = rows.select(
        pl.col("to_bytes") + pl.col("from_bytes") - headers * (pl.col("to_packets") + pl.col("from_packets"))
    ).to_series()
    return Measured(float(payload[last] - payload[first]), "B", FLOW, samples=last - first + 1)


def _memory(data: Measured, disk: Measured, *, begun: bool) -> Measured:
    """All that the link carried less the disk's: at the ends of both counts nothing moves. begun: it was copied."""
    source = f"{data.source}, {FLOW}"
    if not begun:
        return missing("B", source, _ENDED)
    for part in (data, disk):
        if part.value is None:
            return missing("B", source, part.reason or "")
    assert data.value is not None
    assert disk.value is not None
    return Measured(data.value - disk.value, "B", source, samples=data.samples).censored(data.at_least)
