"""The samples of a migration from its recorded rows: of QEMU where it was asked, else of libvirt, else of Nova."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import polars as pl

from migrascope.live.before import TABLES as BEFORE
from migrascope.live.before import Before
from migrascope.live.experience import Past, past
from migrascope.live.sample import NS, OVER, Sample, of_libvirt, of_nova, of_qemu
from migrascope.live.terms import Terms
from migrascope.model.events import Event
from migrascope.model.tables import TABLES
from migrascope.store.recording import Recording

PARAMETERS = "query-migrate-parameters"
PASS = "MIGRATION_PASS"
_ANSWERED = 1


def request_ns(events: Iterable[Event]) -> int | None:
    """Mono ns of the last request; None before it."""
    found = [event.mono_ns for event in events if event.name == "migrate_request"]
    return found[-1] if found else None


def samples_of(recording: Recording) -> list[Sample]:
    """Of a sealed trial, up to the first that says that it is over; empty where nobody counted."""
    request = request_ns(recording.events)
    if request is None:
        return []
    source = pl.col("host") == recording.trial.source
    qemu = recording.table("qmp_status").filter(source & (pl.col("command") == "query-migrate"))
    libvirt = recording.table("libvirt_job").filter(source & (pl.col("kind") == "running"))
    nova = recording.table("api").filter((pl.col("what") == "running") & (pl.col("error") == ""))
    passes, seen = _passes(recording, request), _Seen(recording)
    readers: list[tuple[pl.DataFrame, Callable[[Any, float], Sample | None]]] = [
        (qemu, of_qemu), (libvirt, of_libvirt), (nova, of_nova),
    ]  # fmt: skip
    for rows, reader in readers:
        answers = rows.select("answered_ns", "answer").sort("answered_ns").rows()
        samples = []
        for at, text in answers:
            sample = reader(json.loads(text), (at - request) / NS) if text and at >= request else None
            if sample is not None:
                samples.append(sample.beside(passes, seen.until(at).writer.lately()))
        if samples:
            return _until_over(samples)
    return []


def before_of(recording: Recording) -> Before:
    """What was seen of the guest when the migration was asked for."""
    request = request_ns(recording.events)
    seen = _Seen(recording)
    return seen.until(request) if request is not None else seen.before


class _Seen:
    """What had been answered of the guest by a moment that only moves on."""

    def __init__(self, recording: Recording) -> None:
        rows = [(name, row) for name in BEFORE for row in recording.table(name).select(*TABLES[name].columns).rows()]
        self._rows = deque(sorted(rows, key=lambda item: int(item[1][_ANSWERED])))
        self.before = Before()

    def until(self, at_ns: int) -> Before:
        while self._rows and self._rows[0][1][_ANSWERED] <= at_ns:
            self.before.take(*self._rows.popleft())
        return self.before


def _passes(recording: Recording, request: int) -> dict[int, float]:
    """When QEMU began each pass over the memory, in seconds since the request, by its number."""
    heard = (pl.col("host") == recording.trial.source) & (pl.col("event") == PASS) & (pl.col("recv_ns") >= request)
    rows = recording.table("qmp_event").filter(heard).select("recv_ns", "data").rows()
    return {json.loads(data)["pass"]: (at - request) / NS for at, data in rows}


def limited(terms: Terms, recording: Recording) -> Terms:
    """With the first limit that the source's QEMU named after the request, where it was asked."""
    request = request_ns(recording.events)
    rows = recording.table("qmp_status").filter(
        (pl.col("host") == recording.trial.source) & (pl.col("command") == PARAMETERS) & (pl.col("answer") != "")
    )
    answers = [
        text for at, text in rows.select("answered_ns", "answer").rows() if request is not None and at >= request
    ]
    return terms.limited(json.loads(answers[0])) if answers else terms


def resident_of(recording: Recording) -> int | None:
    """Bytes of the source's QEMU process when the migration was asked for; None where nobody looked."""
    request = request_ns(recording.events)
    if request is None:
        return None
    mine = (pl.col("process") == f"qemu-{recording.trial.source}") & (pl.col("mono_ns") < request)
    rows = recording.table("process_cpu").filter(mine).sort("mono_ns")
    return int(rows["rss_bytes"][-1]) if rows.height else None


def past_of(recording: Recording, took_s: float | None) -> Past | None:
    """What a finished trial, whose migration took so long, tells of those to come; None where it did not complete."""
    if not any(event.name == "migrate_done" for event in recording.events):
        return None
    return past(recording.trial.factors, samples_of(recording), resident_of(recording), took_s)


def _until_over(samples: Sequence[Sample]) -> list[Sample]:
    over = next((at for at, sample in enumerate(samples) if sample.state in OVER), len(samples))
    return list(samples[: over + 1])
