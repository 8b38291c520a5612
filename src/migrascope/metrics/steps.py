"""Where the seconds of a migration through OpenStack go: named steps, one after another."""

import re
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import polars as pl

from migrascope.metrics import openstack
from migrascope.metrics.hostclock import STAMP_NS
from migrascope.metrics.migration import first_pass_ns
from migrascope.metrics.packets import NS
from migrascope.metrics.windows import Windows, event_at, on_our_clock, one_clock
from migrascope.model.measured import Measured, missing, summed
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
_ROUNDED_NS = 1e7
_ACTION = "instance action"
_UNTOLD = "nothing in reach told"
_CHECK_DESTINATION = "compute_check_can_live_migrate_destination"
_CHECK_SOURCE = "compute_check_can_live_migrate_source"
_PREPARE = "compute_pre_live_migration"
_TOOK = re.compile(r"Took ([\d.]+) seconds for pre_live_migration")
_BOUND = re.compile(r"POST /v2\.0/ports/[0-9a-f-]+/bindings ")
_ACTIVATED = re.compile(r"PUT /v2\.0/ports/[0-9a-f-]+/bindings/\S+/activate ")


@dataclass(frozen=True)
class Edge:
    """A moment between two steps: mono ns, which table told it, and the parts of its error, ns (see
    model.measured.ERRORS); none where it is a stamp of ours."""

    ns: float
    source: str
    errors_ns: dict[str, float] = field(default_factory=dict)

    @property
    def bound_ns(self) -> float:
        """How far off it may be."""
        return sum(self.errors_ns.values())


@dataclass(frozen=True)
class Step:
    """One step with its ends; where nothing told one, the reason."""

    name: str
    start: Edge | str
    end: Edge | str


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """step_s.NAME of each step."""
    if not recording.table(openstack.SOURCE).height:
        return {f"step_s.{name}": missing("s", SOURCE, "no cloud's API was polled") for name in STEPS}
    found = {step.name: _length(step) for step in steps(recording, windows)}
    # The destination has the source check in the middle of its own check.
    inner, outer = found["check_source"], found["check_destination"]
    if inner.value is not None and outer.value is not None:
        own = Measured(outer.value - inner.value, "s", outer.source, samples=1)
        found["check_destination"] = own.within(**summed(outer.errors, inner.errors))
    return {f"step_s.{name}": found[name] for name in STEPS}


def steps(recording: Recording, windows: Windows) -> list[Step]:
    """All steps in their order; each begins where the one before ends, but for the source's check, which lies within
    the destination's."""
    lines = _lines(recording)
    request, accepted = windows.request, openstack.accepted_ns(recording)
    edges: dict[str, Edge | str] = {
        "request": _exact(request, "events"),
        "accept": _exact(accepted, "events"),
        "scheduling": _action(recording, _CHECK_DESTINATION, finish=False),
        "check_destination": _action(recording, _CHECK_DESTINATION, finish=True),
        "port_binding": _line(lines, _BOUND) or _polled(recording, "created"),
        **_prepared(recording, lines),
        "start": _event(recording, "MIGRATION_PASS", first_pass_ns(recording)),
        "copy": _event(recording, "STOP", windows.stop),
        "switchover": _event(recording, "RESUME", windows.resume),
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
    if isinstance(step.start, str) or isinstance(step.end, str):
        which, why = ("beginning", step.start) if isinstance(step.start, str) else ("end", step.end)
        return missing("s", SOURCE, f"{why} its {which}")
    source = ", ".join(dict.fromkeys((step.start.source, step.end.source)))
    took, bound = step.end.ns - step.start.ns, step.start.bound_ns + step.end.bound_ns
    if took < -bound and _ACTION in (step.start.source, step.end.source):
        why = f"its end seems to be {-took / NS:.1f} s before its beginning: two clocks that differ told them"
        return missing("s", SOURCE, why)
    errors = summed(step.start.errors_ns.items(), step.end.errors_ns.items())
    length = Measured(round(took / NS, 6), "s", source, samples=1)
    return length.within(**{name: error / NS for name, error in errors.items()})


def _exact(ns: int | None, source: str) -> Edge | str:
    return Edge(ns, source) if ns is not None else _UNTOLD


def _event(recording: Recording, name: str, ns: int | None) -> Edge | str:
    """The moment of QEMU's event at that stamp, which must be known on our clock."""
    if ns is None:
        return _UNTOLD
    bound = event_at(recording, name, ns).bound_ns
    if bound is None:
        return "nobody knows the clock of the host that told"
    return Edge(ns, "qmp_event", {"resolution": STAMP_NS, "clock": bound - STAMP_NS})


def _seen(seen: openstack.Seen | None) -> Edge | str:
    if seen is None:
        return _UNTOLD
    return Edge(seen.middle_ns, openstack.SOURCE, {"resolution": seen.bound_ns})


def _action(recording: Recording, name: str, *, finish: bool) -> Edge | str:
    """A stamp of the instance action: a whole second, cut off, so half a second later at most half a second off. Nova's
    conductor stamps, whichever host did it, and on a cloud of others nobody has read its clock."""
    if not one_clock(recording):
        return "nobody knows the clock of Nova's conductor, which told"
    for action in openstack.actions(recording):
        stamp = action.finish_s if finish else action.start_s
        if action.name == name and stamp is not None:
            clock = recording.wall_clock
            errors = {"resolution": _HALF_S, "clock": clock.worst_step_ns()}
            return Edge(clock.to_mono(stamp * 10**9) + _HALF_S, _ACTION, errors)
    return _UNTOLD


def _polled(recording: Recording, state: str) -> Edge | str:
    request = openstack.request_ns(recording)
    shows = openstack.binding_shows(recording)[state]
    return _seen(openstack.first(openstack.polls(recording, "bindings"), request, shows))


def _completed(recording: Recording) -> Edge | str:
    records, request = openstack.polls(recording, "record"), openstack.request_ns(recording)
    return _seen(openstack.first(records, request, partial(openstack.reached, "completed")))


def _lines(recording: Recording) -> list[tuple[Edge, str]]:
    """(moment, message) of the journals since the request, by time; without those of hosts whose clock was not read."""
    request = openstack.request_ns(recording)
    rows = recording.table("journal").sort("wall_ns").filter(pl.col("message") != "")
    found = []
    for host, wall, message in rows.select("host", "wall_ns", "message").rows():
        moment = on_our_clock(recording, host, wall)
        if moment is not None and request is not None and moment[0] >= request:
            errors = {"resolution": _LINE_NS, "clock": moment[1]}
            found.append((Edge(moment[0], "journal", errors), message))
    return sorted(found, key=lambda line: line[0].ns)


def _line(lines: list[tuple[Edge, str]], pattern: re.Pattern[str]) -> Edge | None:
    return next((edge for edge, message in lines if pattern.search(message)), None)


def _prepared(recording: Recording, lines: list[tuple[Edge, str]]) -> dict[str, Edge | str]:
    """Beginning and end of pre-live-migration: from the source's journal, which says at its end how long it took, in
    hundredths of a second."""
    for end, message in lines:
        if took := _TOOK.search(message):
            errors = summed(end.errors_ns.items(), [("resolution", _ROUNDED_NS)])
            begin = Edge(end.ns - float(took[1]) * NS, "journal", errors)
            return {"dispatch": begin, "pre_live_migration": end}
    return {
        "dispatch": _action(recording, _PREPARE, finish=False),
        "pre_live_migration": _action(recording, _PREPARE, finish=True),
    }
