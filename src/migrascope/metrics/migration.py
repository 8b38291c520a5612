"""What the hypervisor and its events say of a migration: times, data, rounds and the dirty rate."""

import json
import math
from dataclasses import dataclass
from typing import Any

import polars as pl

from migrascope.metrics.hostclock import STAMP_NS, TABLE, host_clocks
from migrascope.metrics.packets import NS, STEP_NS
from migrascope.metrics.windows import SECOND, QmpEvent, Windows, event_at, event_of, one_clock, qmp_events
from migrascope.model.measured import Measured, missing
from migrascope.model.schedule import COMMAND
from migrascope.store.recording import Recording

EVENTS = "qmp_event"
UNHEARD = "qemu-unheard"
STATUS = "query-migrate"
PARAMETERS = "query-migrate-parameters"
LIMIT_STALE_NS = NS
"""Maximum time before STOP at which a limit that was read still counts as the one at the switchover."""


@dataclass(frozen=True)
class Round:
    """A pass over the guest's memory: when it began (mono ns), the last dirty rate (B/s) and throttle (ratio) that
    QEMU reported in it; None where it reported none."""

    number: int
    start_ns: int
    dirty_rate_Bps: float | None
    throttle: float | None


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """migration_time_s, vm_pause_s, the reported figures, rounds and dirty_rate_Bps."""
    statuses = query_migrate(recording)
    answer = final_answer(recording, statuses)
    return {
        "migration_time_s": _time(recording, windows),
        "vm_pause_s": _pause(recording, windows),
        **_reported(answer, post_copy=turned_to_post_copy(recording)),
        "set_downtime_limit_s": _limit(recording, windows),
        "rounds": _round_count(recording),
        "dirty_rate_Bps": _dirty_rate(statuses, answer, volume_ready_ns(recording) or windows.request, windows.stop),
    }


def query_migrate(recording: Recording) -> list[tuple[int, dict[str, Any]]]:
    """(mono ns of the answer, answer) of the source's query-migrate since the request, by time."""
    request = event_of(recording, "migrate_request")
    if request is None:
        return []
    rows = recording.table("qmp_status").select("answered_ns", "host", "command", "answer").rows()
    return sorted(
        (
            (answered, json.loads(answer))
            for answered, host, command, answer in rows
            if answer and host == recording.trial.source and command == STATUS and answered >= request.mono_ns
        ),
        key=lambda status: status[0],
    )


def final_answer(recording: Recording, statuses: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    """The source's last query-migrate that says completed and has its total set (at first it may be 0 for a moment);
    empty where there is none."""
    done = event_of(recording, "migrate_done")
    answers = [answer for _, answer in statuses] + ([done.data.get("answer") or {}] if done else [])
    whole = [a for a in answers if a.get("status") == "completed" and a.get("total-time")]
    return whole[-1] if whole else {}


def rounds(recording: Recording) -> list[Round]:
    """Every round of the source since the request, for the time axis."""
    passes = _passes(recording)
    statuses = query_migrate(recording)
    found = []
    for at, event in enumerate(passes):
        until = passes[at + 1].mono_ns if at + 1 < len(passes) else None
        within = [a for t, a in statuses if t >= event.mono_ns and (until is None or t < until)]
        rates = [rate for rate in map(_dirty_Bps, within) if rate is not None]
        throttles = [a["cpu-throttle-percentage"] / 100 for a in within if "cpu-throttle-percentage" in a]
        number = int(event.data.get("pass", at + 1))
        found.append(Round(number, event.mono_ns, rates[-1] if rates else None, throttles[-1] if throttles else None))
    return found


def first_pass_ns(recording: Recording) -> int | None:
    """Mono ns of the first MIGRATION_PASS; None where there was none."""
    return next((event.mono_ns for event in _passes(recording)), None)


def volume_ready_ns(recording: Recording) -> int | None:
    """When the copy of a volume had come so far that the memory's could begin (mono ns); None where none did."""
    events = qmp_events(recording, ("BLOCK_JOB_READY",))
    return next((event.mono_ns for event in events if event.host == recording.trial.source), None)


def _passes(recording: Recording) -> list[QmpEvent]:
    source = recording.trial.source
    return [event for event in qmp_events(recording, ("MIGRATION_PASS",)) if event.host == source]


def _time(recording: Recording, windows: Windows) -> Measured:
    if windows.request is None:
        return missing("s", EVENTS, "no migration was requested")
    if windows.complete is None:
        return missing("s", EVENTS, "the migration did not complete")
    if recording.trial.factors.policy == COMMAND:
        return Measured((windows.complete - windows.request) / NS, "s", "command", samples=1)
    if windows.resume is None:
        return missing("s", EVENTS, "QEMU's events were not in reach")
    return Measured((windows.complete - windows.request) / NS, "s", EVENTS, samples=1)


def _pause(recording: Recording, windows: Windows) -> Measured:
    if windows.stop is None:
        return missing("s", EVENTS, _unheard(recording) or "no STOP on the source")
    if windows.resume is None:
        return missing("s", EVENTS, _unheard(recording) or "no RESUME on the destination")
    stop, resume = event_at(recording, "STOP", windows.stop), event_at(recording, "RESUME", windows.resume)
    if not one_clock(recording):
        return _pause_by_two_clocks(recording, stop, resume)
    step = recording.wall_clock.worst_step_ns()
    if step > STEP_NS:
        return missing("s", EVENTS, f"the wall clock stepped by {step / 1e6:.1f} ms in the trial")
    pause = Measured((resume.wall_ns - stop.wall_ns) / NS, "s", EVENTS, samples=1)
    return pause.within(resolution=2 * STAMP_NS / NS, clock=step / NS)


def _unheard(recording: Recording) -> str:
    """Why QEMU's events were not told; empty where nobody refused them."""
    refused = recording.table("libvirt_event").filter(pl.col("event") == UNHEARD)
    return f"libvirt refused QEMU's events: {json.loads(refused['data'][0])['why']}" if refused.height else ""


def _pause_by_two_clocks(recording: Recording, stop: QmpEvent, resume: QmpEvent) -> Measured:
    if stop.bound_ns is None or resume.bound_ns is None:
        theirs = recording.trial.plan.get("libvirt", {})
        unasked = theirs.get("hosts") and not theirs.get("monitor") and not theirs.get("guest")
        words = ": QEMU is asked for them where libvirt.monitor = true" if unasked else ""
        return missing("s", EVENTS, f"by how much the hosts' clocks differ is not known{words}")
    for host, clock in host_clocks(recording).items():
        if (step := clock.step_ns()) > 0:
            return missing("s", EVENTS, f"the clock of {host} stepped by {step / 1e6:.1f} ms in the trial")
    pause = Measured((resume.mono_ns - stop.mono_ns) / NS, "s", f"{EVENTS}, {TABLE}", samples=1)
    return pause.within(clock=(stop.bound_ns + resume.bound_ns) / NS)


def turned_to_post_copy(recording: Recording) -> bool:
    """Whether the source said that it went on as post-copy."""
    return any(event.data.get("status") == "postcopy-active" for event in qmp_events(recording, ("MIGRATION",)))


def _reported(answer: dict[str, Any], *, post_copy: bool) -> dict[str, Measured]:
    why = "QEMU gave no final figures"
    total, downtime = answer.get("total-time"), answer.get("downtime")
    transferred = answer.get("ram", {}).get("transferred")

    def value(number: float | None, unit: str, scale: float, bound: float | None) -> Measured:
        if not number:
            return missing(unit, STATUS, why)
        return Measured(number * scale, unit, STATUS, samples=1).within(resolution=bound)

    elsewhere = missing("s", STATUS, "post-copy: QEMU counts until it asked the destination to run, not until it ran")
    return {
        "reported_total_s": value(total, "s", 1e-3, 0.5e-3),
        "reported_downtime_s": elsewhere if post_copy else value(downtime, "s", 1e-3, 0.5e-3),
        "reported_transferred_bytes": value(transferred, "B", 1.0, None),
    }


def _limit(recording: Recording, windows: Windows) -> Measured:
    """The downtime limit as QEMU on the source said it last before STOP. Where it was last asked longer before, the
    limit may have been raised since: at least that. Else what the source read back when the lab, or whoever changes the
    migration while it runs, had set it; where that was being set when the guest stopped, at least the one before."""
    if windows.request is None:
        return missing("s", PARAMETERS, "no migration was requested")
    source = recording.trial.source
    rows = recording.table("qmp_status").filter(
        (pl.col("command") == PARAMETERS) & (pl.col("host") == source) & (pl.col("answer") != "")
    )
    if windows.stop is not None:
        rows = rows.filter(pl.col("answered_ns") <= windows.stop)
    last = rows.sort("answered_ns").tail(1)
    if last.height:
        limit_ms = json.loads(last["answer"][0]).get("downtime-limit")
        if limit_ms:
            stale = windows.stop is None or windows.stop - int(last["answered_ns"][0]) > LIMIT_STALE_NS
            return Measured(limit_ms * 1e-3, "s", PARAMETERS, samples=rows.height, at_least=stale)
    changes = [event for event in recording.events if event.name == "controller" and "read_s" in event.data]
    stop = windows.stop if windows.stop is not None else math.inf
    before = [event for event in changes if event.mono_ns <= stop]
    between = any(event.data["asked_ns"] <= stop < event.mono_ns for event in changes)
    if before:
        return Measured(before[-1].data["read_s"], "s", "controller", samples=len(before), at_least=between)
    settings = recording.trial.settings.get(source)
    limit_ms = settings.get("parameters", {}).get("downtime-limit") if isinstance(settings, dict) else None
    if limit_ms:
        return Measured(limit_ms * 1e-3, "s", "settings", samples=1, at_least=between)
    return missing("s", PARAMETERS, "QEMU did not say which downtime limit was set")


def _round_count(recording: Recording) -> Measured:
    count = len(_passes(recording))
    if not count:
        return missing("1", EVENTS, "no MIGRATION_PASS event")
    return Measured(count, "1", EVENTS, samples=count)


def _dirty_Bps(answer: dict[str, Any]) -> float | None:
    ram = answer.get("ram", {})
    rate = ram.get("dirty-pages-rate", 0) * ram.get("page-size", 0)
    return float(rate) if rate else None


def _dirty_rate(
    statuses: list[tuple[int, dict[str, Any]]], answer: dict[str, Any], begin: int | None, stop: int | None
) -> Measured:
    """The last rate that QEMU itself reported. It computes one only after a second; a shorter migration's is from the
    pages sent more than once, over the time from the beginning of the memory's copy until STOP (a lower bound: a page
    counts once in a round)."""
    rates = [rate for rate in (_dirty_Bps(status) for _, status in statuses) if rate is not None]
    if rates:
        return Measured(rates[-1], "B/s", "query-migrate dirty-pages-rate", samples=len(rates))
    source = "query-migrate pages sent again"
    ram = answer.get("ram", {})
    if begin is None or stop is None or not {"normal", "duplicate", "total", "page-size"} <= set(ram):
        return missing("B/s", source, "QEMU reported neither a dirty rate nor its final page counts")
    again = max(0, (ram["normal"] + ram["duplicate"]) * ram["page-size"] - ram["total"])
    return Measured(again * SECOND / (stop - begin), "B/s", source, samples=1)
