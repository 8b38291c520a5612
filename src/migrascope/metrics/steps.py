"""Where the seconds of a migration through OpenStack go: named steps, one after another."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import polars as pl

from migrascope.metrics import openstack
from migrascope.metrics.migration import first_pass_ns
from migrascope.metrics.packets import NS
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

STEPS = {
    "accept": "the API accepts the request",
    "scheduling": "the conductor and the scheduler choose",
    "check_destination": "the destination checks",
    "check_source": "the source checks",
    "port_binding": "the port is bound on the destination too",
    "dispatch": "the source takes over",
    "pre_live_migration": "the destination prepares volume and port",
    "start": "libvirt starts QEMU on the destination",
    "copy": "memory is copied",
    "switchover": "the VM stands still",
    "port_activation": "the destination's binding becomes active",
    "post_live_migration": "the server is handed over and ACTIVE again",
    "completion": "the source cleans up, the record is completed",
}
SOURCE = "api, journal, qmp_event"
_HALF_S = NS / 2
_LINE_NS = 1e6
_CHECK_DESTINATION = "compute_check_can_live_migrate_destination"
_CHECK_SOURCE = "compute_check_can_live_migrate_source"
_PREPARE = "compute_pre_live_migration"
_TOOK = re.compile(r"Took ([\d.]+) seconds for pre_live_migration")
_BOUND = re.compile(r"POST /v2\.0/ports/[0-9a-f-]+/bindings ")
_ACTIVATED = re.compile(r"PUT /v2\.0/ports/[0-9a-f-]+/bindings/\S+/activate ")


@dataclass(frozen=True)
class Edge:
    """A moment between two steps: mono ns, how far off it may be, and which table told it."""

    ns: float
    bound_ns: float
    source: str


@dataclass(frozen=True)
class Step:
    """One step with its ends, None where nothing told them."""

    name: str
    start: Edge | None
    end: Edge | None


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """step_s.NAME of each step."""
    if not recording.table(openstack.SOURCE).height:
        return {f"step_s.{name}": missing("s", SOURCE, "no cloud's API was polled") for name in STEPS}
    found = {step.name: _length(step) for step in steps(recording, windows)}
    # The destination has the source check in the middle of its own check.
    inner, outer = found["check_source"], found["check_destination"]
    if inner.value is not None and outer.value is not None:
        found["check_destination"] = Measured(
            outer.value - inner.value, "s", outer.source, bound=outer.bound, samples=1
        )
    return {f"step_s.{name}": found[name] for name in STEPS}


def steps(recording: Recording, windows: Windows) -> list[Step]:
    """All steps in their order; each begins where the one before ends, but for the source's check, which lies within
    the destination's."""
    lines = list(_lines(recording))
    request, accepted = windows.request, openstack.accepted_ns(recording)
    edges: dict[str, Edge | None] = {
        "request": _exact(request, "events"),
        "accept": _exact(accepted, "events"),
        "scheduling": _action(recording, _CHECK_DESTINATION, finish=False),
        "check_destination": _action(recording, _CHECK_DESTINATION, finish=True),
        "port_binding": _line(lines, _BOUND) or _polled(recording, "created"),
        **_prepared(recording, lines),
        "start": _exact(first_pass_ns(recording), "qmp_event"),
        "copy": _exact(windows.stop, "qmp_event"),
        "switchover": _exact(windows.resume, "qmp_event"),
        "port_activation": _line(lines, _ACTIVATED) or _polled(recording, "active"),
        "post_live_migration": _seen(openstack.active(recording, openstack.polls(recording, "server"), request)),
        "completion": _completed(recording),
    }
    found = [Step(name, edges[before], edges[name]) for before, name in pairwise(edges)]
    check = Step(
        "check_source", _action(recording, _CHECK_SOURCE, finish=False), _action(recording, _CHECK_SOURCE, finish=True)
    )
    at = [step.name for step in found].index("check_destination")
    return [*found[: at + 1], check, *found[at + 1 :]]


def _length(step: Step) -> Measured:
    if step.start is None or step.end is None:
        which = "beginning" if step.start is None else "end"
        return missing("s", SOURCE, f"nothing in reach told its {which}")
    source = ", ".join(dict.fromkeys((step.start.source, step.end.source)))
    bound = (step.start.bound_ns + step.end.bound_ns) / NS
    return Measured(round((step.end.ns - step.start.ns) / NS, 6), "s", source, bound=bound, samples=1)


def _exact(ns: int | None, source: str) -> Edge | None:
    return Edge(ns, 0.0, source) if ns is not None else None


def _seen(seen: openstack.Seen | None) -> Edge | None:
    return Edge(seen.middle_ns, seen.bound_ns, openstack.SOURCE) if seen is not None else None


def _action(recording: Recording, name: str, *, finish: bool) -> Edge | None:
    """A stamp of the instance action: a whole second, cut off, so half a second later at most half a second off."""
    for action in openstack.actions(recording):
        stamp = action.finish_s if finish else action.start_s
        if action.name == name and stamp is not None:
            return Edge(recording.wall_clock.to_mono(stamp * 10**9) + _HALF_S, _HALF_S, "instance action")
    return None


def _polled(recording: Recording, state: str) -> Edge | None:
    request = openstack.request_ns(recording)
    shows = openstack.binding_shows(recording)[state]
    return _seen(openstack.first(openstack.polls(recording, "bindings"), request, shows))


def _completed(recording: Recording) -> Edge | None:
    records, request = openstack.polls(recording, "record"), openstack.request_ns(recording)
    return _seen(openstack.first(records, request, partial(openstack.reached, "completed")))


def _lines(recording: Recording) -> Iterator[tuple[int, str]]:
    """(mono ns, message) of the journals since the request, by time."""
    request = openstack.request_ns(recording)
    rows = recording.table("journal").sort("wall_ns").filter(pl.col("message") != "")
    for wall, message in rows.select("wall_ns", "message").rows():
        mono = recording.wall_clock.to_mono(wall)
        if request is not None and mono >= request:
            yield mono, message


def _line(lines: list[tuple[int, str]], pattern: re.Pattern[str]) -> Edge | None:
    found = next((mono for mono, message in lines if pattern.search(message)), None)
    return Edge(found, _LINE_NS, "journal") if found is not None else None


def _prepared(recording: Recording, lines: list[tuple[int, str]]) -> dict[str, Edge | None]:
    """Beginning and end of pre-live-migration: from the source's journal, which says at its end how long it took."""
    for mono, message in lines:
        if took := _TOOK.search(message):
            end = Edge(mono, _LINE_NS, "journal")
            return {"dispatch": Edge(mono - float(took[1]) * NS, 1e7, "journal"), "pre_live_migration": end}
    return {
        "dispatch": _action(recording, _PREPARE, finish=False),
        "pre_live_migration": _action(recording, _PREPARE, finish=True),
    }
