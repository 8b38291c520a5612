"""Data transferred: payload on the migration link, from its counters at the switch."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from migrascope.metrics.migration import first_pass_ns
from migrascope.metrics.packets import NS, Bools, Ints
from migrascope.metrics.windows import Windows
from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "link"
HEADERS: dict[Family, int] = {FIRST: 66, SECOND: 86}
"""Ethernet 14, IPv4 20 or IPv6 40, TCP with time stamps 32. A segment that offloading leaves whole counts as one packet
with one set of headers in the counters too."""

UNITS = {"data_transferred_bytes": "B", "link_payload_bps": "bit/s"}
ANEW = "the port of the migration link was made anew meanwhile: its counters began again"
SHARED = "the migration link carried competing traffic too, which its counters do not tell apart"


@dataclass(frozen=True)
class Counters:
    """Payload bytes so far on one node's port, by sample: sent by the node, and received by it. anew: samples at which
    the port was another one, or a counter had gone back: it was made anew, and what passed between the sample before
    and then is in no counter."""

    mono_ns: Ints
    sent: Ints
    received: Ints
    anew: Bools

    @classmethod
    def of(cls, table: pl.DataFrame, link: str, node: str, family: Family = FIRST) -> "Counters":
        """The samples of that port, by time. family: of what passes there."""
        rows = table.filter((pl.col("link") == link) & (pl.col("node") == node)).sort("mono_ns")
        names = [f"{way}_node_{what}" for way in ("from", "to") for what in ("bytes", "packets")]
        counted = rows.select(names).to_numpy().astype(np.int64)
        anew = np.zeros(len(counted), dtype=np.bool_)
        anew[1:] = (np.diff(counted, axis=0) < 0).any(axis=1) | (np.diff(rows["ifindex"].to_numpy()) != 0)
        payload = counted[:, ::2] - HEADERS[family] * counted[:, 1::2]
        grown = np.diff(payload, axis=0, prepend=np.zeros((1, 2), dtype=np.int64))
        sent, received = np.cumsum(np.where(anew[:, None], payload, grown), axis=0).T
        return cls(rows["mono_ns"].to_numpy(), sent, received, anew)


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """data_transferred_bytes, and link_payload_bps while RAM is copied."""
    if shared(recording):
        return {key: missing(unit, SOURCE, SHARED) for key, unit in UNITS.items()}
    counters = of_stream(recording)
    return {
        "data_transferred_bytes": data(counters, windows),
        "link_payload_bps": _rate(counters, first_pass_ns(recording), windows.stop),
    }


def of_stream(recording: Recording) -> Counters:
    """What passed the source's port of the migration link."""
    table, source = recording.table("link"), recording.trial.source
    return Counters.of(table, "migration", source, stream_family(recording))


def stream_family(recording: Recording) -> Family:
    """Over which the memory went."""
    return SECOND if recording.trial.plan.get("lab", {}).get("stream_family") == SECOND else FIRST


def warnings(found: dict[str, Measured]) -> list[str]:
    """What in the count of data is to be doubted. `found` holds data_transferred_bytes."""
    cut_off = found["data_transferred_bytes"].at_least
    return [f"{ANEW}, and the data transferred are at least what they show"] if cut_off else []


def shared(recording: Recording) -> bool:
    """Whether the plan had others' traffic on the migration link."""
    tables, name = recording.trial.plan.get("disturbance") or [], recording.trial.factors.disturbance
    return any((table["name"], table["kind"], table["target"]) == (name, "traffic", "migration") for table in tables)


def data(counters: Counters, windows: Windows) -> Measured:
    """data_transferred_bytes: both directions, from the last sample before the request to the first after during. At
    least that, where the port was made anew in between."""
    if windows.during is None:
        return missing("B", SOURCE, "the trial has no window during")
    request, end = windows.during
    first = int(np.searchsorted(counters.mono_ns, request, side="right")) - 1
    last = int(np.searchsorted(counters.mono_ns, end, side="left"))
    if first < 0 or last >= len(counters.mono_ns):
        return missing("B", SOURCE, "no sample of the migration link's counters before, or after, the migration")
    both = counters.sent + counters.received
    counted = Measured(float(both[last] - both[first]), "B", SOURCE, samples=last - first + 1)
    return counted.censored(bool(counters.anew[first + 1 : last + 1].any()))


def _rate(counters: Counters, first_pass: int | None, stop: int | None) -> Measured:
    """What the source sent from the first MIGRATION_PASS to STOP, between the samples that lie within."""
    if first_pass is None or stop is None:
        return missing("bit/s", SOURCE, "no MIGRATION_PASS or no STOP event")
    first = int(np.searchsorted(counters.mono_ns, first_pass, side="left"))
    last = int(np.searchsorted(counters.mono_ns, stop, side="right")) - 1
    if last <= first:
        return missing("bit/s", SOURCE, "fewer than two samples of the counters while RAM was copied")
    if counters.anew[first + 1 : last + 1].any():
        return missing("bit/s", SOURCE, ANEW)
    took = int(counters.mono_ns[last] - counters.mono_ns[first])
    moved = int(counters.sent[last] - counters.sent[first])
    return Measured(moved * 8 * NS / took, "bit/s", SOURCE, samples=last - first + 1)
