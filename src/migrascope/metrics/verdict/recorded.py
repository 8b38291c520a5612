"""The evidence as a recording holds it."""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from migrascope.metrics.verdict.disturbed import Began, Disturbed
from migrascope.metrics.verdict.hosts import Frames, State
from migrascope.metrics.verdict.judge import Evidence
from migrascope.metrics.verdict.ledger import Arrival
from migrascope.metrics.verdict.liveness import Answer
from migrascope.metrics.verdict.service import Visit
from migrascope.metrics.verdict.spans import Times
from migrascope.metrics.windows import qmp_events
from migrascope.model.disturbance import LATE_S
from migrascope.model.phase import phase_of
from migrascope.model.schedule import in_second_part
from migrascope.store.document import read_bytes, read_object
from migrascope.store.recording import LEDGER, VOLUME, Recording, TrialFacts

_CHANGES = ("STOP", "RESUME", "SUSPEND", "WAKEUP", "SHUTDOWN", "RESET", "POWERDOWN", "GUEST_PANICKED")


def evidence_of(recording: Recording) -> Evidence:
    """All that a recording holds for its verdict."""
    path, volume = recording.folder / LEDGER, recording.folder / VOLUME
    examined: dict[str, Any] | None = read_object(volume) if volume.exists() else None
    return Evidence(
        times=_times(recording),
        outage_s=_outage_s(recording.trial),
        arrivals=[Arrival(*row) for row in _rows(recording, "ledger", "recv_ns", "number", "boot", "receipt", "given")],
        content=read_bytes(path) if path.exists() else None,
        answers=_answers(recording),
        samples=_samples(recording),
        changes=_changes(recording),
        frames=[Frames(*row) for row in _rows(recording, "frame", "from_ns", "until_ns", "node", "frames")],
        visits=_visits(recording),
        proof=recording.trial.proof,
        examined=examined,
        disturbance=recording.trial.factors.disturbance,
        disturbed=[Disturbed(*row) for row in _rows(recording, "disturbance", *Disturbed._fields)],
        late_s=LATE_S.get(recording.trial.facts.get("lab", ""), LATE_S["qemu"]),
        began=_began(recording),
    )


def _outage_s(trial: TrialFacts) -> float:
    """The longest silence that is no loss of service: the plan's, or that of its second part in a trial of it."""
    of_part = trial.plan["also"]["outage"] if in_second_part(trial.plan, trial.factors) else None
    return float(of_part or trial.plan.get("verdict", {}).get("outage", 3.0))


def _rows(recording: Recording, table: str, *columns: str) -> Sequence[tuple[Any, ...]]:
    return recording.table(table).select(columns).rows()


def _times(recording: Recording) -> Times:
    stamps = {event.name: event.mono_ns for event in recording.events}
    over = [stamps[name] for name in ("migrate_done", "migrate_failed") if name in stamps]
    return Times(stamps.get("migrate_request"), max(over, default=None))


def _answers(recording: Recording) -> list[Answer]:
    table = recording.table("liveness").filter(pl.col("answered_ns") > 0)
    return [
        Answer(*row) for row in table.select("asked_ns", "answered_ns", "request", "boot_id", "counter", "hash").rows()
    ]


def _samples(recording: Recording) -> dict[str, Sequence[State]]:
    samples: dict[str, list[State]] = {}
    table = recording.table("qmp_status").filter(pl.col("command") == "query-status")
    for host, asked, answered, answer in table.select("host", "asked_ns", "answered_ns", "answer").rows():
        status = json.loads(answer)["status"] if answer else ""
        samples.setdefault(host, []).append(State(asked, answered, status))
    return dict(samples)


def _changes(recording: Recording) -> dict[str, Sequence[int]]:
    changes: dict[str, list[int]] = {}
    table = recording.table("qmp_event").filter(pl.col("event").is_in(_CHANGES))
    for host, read in table.select("host", "recv_ns").rows():
        changes.setdefault(host, []).append(read)
    return dict(changes)


def _began(recording: Recording) -> list[Began]:
    """The phases since the request, by the stamps of the source's hypervisor. The first round is the first copy, and
    one that is counted after the guest has stopped belongs to the switchover."""
    began: list[Began] = []
    for event in qmp_events(recording, ("MIGRATION", "MIGRATION_PASS", "STOP")):
        phase = phase_of(event.event, event.data) if event.host == recording.trial.source else None
        inner = phase is not None and phase.startswith("round:")
        stopped = any(row.phase == "switchover" for row in began)
        if phase is not None and phase != "round:1" and not (inner and stopped):
            began.append(Began(event.mono_ns, phase))
    return began


def _visits(recording: Recording) -> list[Visit]:
    return [
        Visit(due, 0 if error else done) for due, done, error in _rows(recording, "visit", "due_ns", "done_ns", "error")
    ]
