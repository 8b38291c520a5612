"""What libvirt says of a migration when it is over."""

import json
from typing import Any

import polars as pl

from migrascope.metrics.windows import event_of
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

EVENT, JOB = "job-completed", "libvirt_job"
_OUTGOING, _INCOMING = 5, 4
_TIMES = {
    "libvirt_total_s": "time_elapsed",
    "libvirt_downtime_s": "downtime",
    "libvirt_downtime_net_s": "downtime_net",
    "libvirt_setup_s": "setup_time",
}
"""virDomainGetJobStats, all in ms. What ends in net leaves out the time to hand control from host to host."""
_BYTES = {
    "libvirt_transferred_bytes": "data_processed",
    "libvirt_memory_bytes": "memory_processed",
    "libvirt_disk_bytes": "disk_processed",
}
"""The first is the sum of the other two."""


def measure(recording: Recording) -> dict[str, Measured]:
    """libvirt_total_s, libvirt_downtime_s, libvirt_downtime_net_s, libvirt_setup_s, and libvirt_transferred_bytes with
    its parts."""
    source, job = completed(recording)
    found: dict[str, Measured] = {}
    for keys, unit, scale, resolution in ((_TIMES, "s", 1e-3, 0.5e-3), (_BYTES, "B", 1.0, None)):
        for key, name in keys.items():
            if name in job:
                found[key] = Measured(job[name] * scale, unit, source, samples=1).within(resolution=resolution)
            else:
                found[key] = missing(unit, source, "libvirt did not say it" if job else _absent(recording))
    return found


def completed(recording: Recording) -> tuple[str, dict[str, Any]]:
    """(where it comes from, the finished migration's statistics): the source's job-completed event, else the completed
    job that a host still knows. Empty where there is none."""
    request = event_of(recording, "migrate_request")
    if request is None:
        return EVENT, {}
    events = recording.table("libvirt_event").filter(
        (pl.col("event") == EVENT) & (pl.col("recv_ns") >= request.mono_ns) & (pl.col("host") == recording.trial.source)
    )
    for job in map(json.loads, events.sort("recv_ns", descending=True)["data"]):
        if job.get("operation") == _OUTGOING:
            return EVENT, job
    jobs = recording.table(JOB).filter((pl.col("kind") == "completed") & (pl.col("asked_ns") >= request.mono_ns))
    for job in map(json.loads, jobs.sort("asked_ns", descending=True)["answer"]):
        if job.get("operation") in (_OUTGOING, _INCOMING):
            return JOB, job
    return EVENT, {}


def _absent(recording: Recording) -> str:
    if not recording.table("libvirt_event").height and not recording.table(JOB).height:
        return "no libvirt was in reach"
    return "libvirt told of no migration that it completed"
