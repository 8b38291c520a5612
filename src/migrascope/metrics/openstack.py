"""What the cloud's API says of a migration: its states and when they came, as well as polling can tell."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl

from migrascope.metrics.packets import NS
from migrascope.metrics.windows import event_of
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "api"
RECORDS = ("preparing", "running", "completed")
BINDINGS = ("created", "active", "removed")
_NOT_SEEN = "no answer of the API showed it"


@dataclass(frozen=True)
class Poll:
    """One answer of the API."""

    asked_ns: int
    answered_ns: int
    answer: Any


@dataclass(frozen=True)
class Seen:
    """When a state came, mono ns: after the last poll that did not show it was asked, before the first that did was
    answered."""

    after_ns: int
    before_ns: int

    @property
    def middle_ns(self) -> int:
        return (self.after_ns + self.before_ns) // 2

    @property
    def bound_ns(self) -> float:
        return (self.before_ns - self.after_ns) / 2


@dataclass(frozen=True)
class Action:
    """An event of the live migration's instance action: wall seconds in which it began and ended (None: not told)."""

    name: str
    host: str
    start_s: int
    finish_s: int | None


def polls(recording: Recording, what: str) -> list[Poll]:
    """The API's answers to one question, by time."""
    said = recording.table(SOURCE)
    if said.is_empty():
        return []
    rows = said.filter((pl.col("what") == what) & (pl.col("error") == "")).sort("asked_ns")
    return [
        Poll(asked, answered, json.loads(answer))
        for asked, answered, answer in rows.select("asked_ns", "answered_ns", "answer").rows()
    ]


def request_ns(recording: Recording) -> int | None:
    """Mono ns right before the request was sent."""
    request = event_of(recording, "migrate_request")
    return request.mono_ns if request is not None else None


def measure(recording: Recording) -> dict[str, Measured]:
    """api_*: when the API accepted the request and when each state came, from the request; what Nova counted."""
    since = request_ns(recording)
    servers, records = polls(recording, "server"), polls(recording, "record")
    bindings = polls(recording, "bindings")
    why = _absent(recording) if since is not None else "no migration was requested"
    found = {"api_accept_s": _accept(recording, since)}
    found["api_task_s"] = _time(first(servers, since, _busy), since, why)
    found["api_active_s"] = _time(active(recording, servers, since), since, why)
    for status in RECORDS:
        seen = first(records, since, partial(reached, status))
        found[f"api_record_s.{status}"] = _time(seen, since, why)
    for state, shows in binding_shows(recording).items():
        found[f"api_binding_s.{state}"] = _time(first(bindings, since, shows), since, why)
    found["api_migration_time_s"] = _time(ended(recording), since, why)
    return found | _counts(recording, why)


def first(found: Sequence[Poll], since: int | None, shows: Callable[[Any], bool]) -> Seen | None:
    """When a state came after the request; None where no poll shows it. Before the request it cannot have come."""
    if since is None:
        return None
    last = since
    for poll in found:
        if poll.answered_ns < since:
            continue
        if poll.asked_ns >= since and shows(poll.answer):
            return Seen(last, poll.answered_ns)
        last = max(last, poll.asked_ns)
    return None


def active(recording: Recording, servers: Sequence[Poll], since: int | None) -> Seen | None:
    """When the server was ACTIVE without a task again, after a task or on another host."""
    if since is None:
        return None
    before = [poll.answer.get("hostId") for poll in servers if poll.asked_ns < since]
    busy = first(servers, since, _busy)

    def settled(answer: Any) -> bool:
        moved = bool(before) and answer.get("hostId") != before[-1]
        return answer["status"] == "ACTIVE" and not _busy(answer) and (busy is not None or moved)

    if busy is None:
        return first(servers, since, settled)
    seen = first([poll for poll in servers if poll.answered_ns >= busy.before_ns], since, settled)
    return Seen(max(seen.after_ns, busy.after_ns), seen.before_ns) if seen is not None else None


def ended(recording: Recording) -> Seen | None:
    """When both came: the record said completed, and the server was ACTIVE."""
    since = request_ns(recording)
    over = first(polls(recording, "record"), since, partial(reached, "completed"))
    back = active(recording, polls(recording, "server"), since)
    if over is None or back is None:
        return None
    return Seen(max(over.after_ns, back.after_ns), max(over.before_ns, back.before_ns))


def actions(recording: Recording) -> list[Action]:
    """The events of the newest live migration's instance action, by their begin. The API's stamps are whole seconds,
    cut off."""
    for poll in reversed(polls(recording, "actions")):
        for action in poll.answer:
            if action["action"] == "live-migration":
                found = [
                    Action(event["event"], str(event.get("host") or ""), _wall_s(event["start_time"]), _finish(event))
                    for event in action.get("events") or []
                ]
                return sorted(found, key=lambda event: event.start_s)
    return []


def _finish(event: dict[str, Any]) -> int | None:
    return _wall_s(event["finish_time"]) if event.get("finish_time") else None


def _wall_s(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp.removesuffix("Z") + "+00:00").timestamp())


def _busy(answer: Any) -> bool:
    return bool(answer.get("OS-EXT-STS:task_state") or answer["status"] == "MIGRATING")


def reached(status: str, answer: Any) -> bool:
    """Whether the newest record has come to a status, or beyond it."""
    order = ("accepted", "queued", *RECORDS)
    now = answer[0]["status"] if answer else ""
    return now in order and order.index(now) >= order.index(status)


def binding_shows(recording: Recording) -> dict[str, Callable[[Any], bool]]:
    """What answer shows that the destination's binding of the port is there, is active, and is the only one."""
    source, destination = recording.trial.source, recording.trial.destination

    def states(answer: Any) -> dict[str, str]:
        return {server["host"]: server["status"] for server in answer}

    return {
        "created": lambda answer: destination in states(answer),
        "active": lambda answer: states(answer).get(destination) == "ACTIVE",
        "removed": lambda answer: destination in states(answer) and source not in states(answer),
    }


def _time(seen: Seen | None, since: int | None, why: str | None) -> Measured:
    if seen is None or since is None:
        return missing("s", SOURCE, why or _NOT_SEEN)
    return Measured((seen.middle_ns - since) / NS, "s", SOURCE, samples=1).within(resolution=seen.bound_ns / NS)


def accepted_ns(recording: Recording) -> int | None:
    """Mono ns at which the API had answered the request."""
    done = event_of(recording, "migrate_done")
    stamp = ((done.data.get("answer") or {}) if done is not None else {}).get("accepted_ns")
    return int(stamp) if stamp is not None else None


def _accept(recording: Recording, since: int | None) -> Measured:
    stamp = accepted_ns(recording)
    if stamp is None or since is None:
        return missing("s", SOURCE, "no API was asked to migrate")
    return Measured((stamp - since) / NS, "s", SOURCE, samples=1)


def _counts(recording: Recording, why: str | None) -> dict[str, Measured]:
    """The most that Nova counted while it ran. Nova writes its counts every 5 s; they vanish with the end."""
    answers = [migration for poll in polls(recording, "running") for migration in poll.answer]
    counted = [answer for answer in answers if answer.get("memory_total_bytes")]
    found = {}
    for kind in ("memory", "disk"):
        if counted:
            most = max(int(answer[f"{kind}_processed_bytes"] or 0) for answer in counted)
            found[f"api_{kind}_bytes"] = Measured(float(most), "B", SOURCE, samples=len(counted))
        else:
            reason = "Nova had written no counts before it was over: it does so every 5 s" if answers else _NOT_SEEN
            found[f"api_{kind}_bytes"] = missing("B", SOURCE, why or reason)
    return found


def _absent(recording: Recording) -> str | None:
    """Why nothing of the API is there; None where something is."""
    table = recording.table(SOURCE)
    if not table.height:
        return "no cloud's API was polled"
    return None
