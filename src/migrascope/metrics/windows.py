"""The windows of a migration and the stamps that bound them, from the recorded events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from migrascope.metrics.gaps import Gap, gap_of_migration
from migrascope.metrics.hostclock import STAMP_NS, host_clocks
from migrascope.metrics.packets import Packets, Span, to_mono
from migrascope.model.events import Event
from migrascope.model.measured import Measured, missing
from migrascope.model.schedule import COMMAND

if TYPE_CHECKING:
    from migrascope.store.recording import Recording

WINDOWS = ("before", "during", "switchover", "after")
WindowName = Literal["before", "during", "switchover", "after"]
SECOND = 1_000_000_000
RECOVERY_NS = SECOND // 2


@dataclass(frozen=True)
class Windows:
    """Each window as [start, end) in mono ns, and the stamps; None where the trial never came to it.

    stop is the last STOP on the source before resume, the first RESUME on the destination, both by QEMU's own stamps: a
    guest that was stopped and went on in between was paused twice, and moved in the last pause; switchover holds the
    whole network blackout; complete the later of
    completion on the source and running on the destination (without their events: when the engine had seen both);
    recovered the end of the first 500 ms without a lost probe after RESUME. end is where recording ended. cut_off:
    the service was never seen to recover, so that during ends with the observation.
    """

    before: Span | None
    during: Span | None
    switchover: Span | None
    after: Span | None
    request: int | None
    stop: int | None
    resume: int | None
    complete: int | None
    recovered: int | None
    failed: int | None
    end: int
    cut_off: bool = False

    def span(self, name: str) -> Span | None:
        """The window of that name, one of WINDOWS."""
        spans: dict[str, Span | None] = {
            "before": self.before, "during": self.during, "switchover": self.switchover, "after": self.after,
        }  # fmt: skip
        return spans[name]


@dataclass(frozen=True)
class QmpEvent:
    """An event of one QEMU after the request: wall_ns by QEMU's stamp, mono_ns the same moment on our clock, bound_ns
    how far that may be off; None where it is only known when the event was read."""

    event: str
    host: str
    wall_ns: int
    mono_ns: int
    bound_ns: int | None
    data: dict[str, Any]


def measure(windows: Windows) -> dict[str, Measured]:
    """switchover_s, how long that window is: 5 s, or more where the network blackout reaches beyond it."""
    span = windows.switchover
    if span is None:
        return {"switchover_s": missing("s", "qmp_event, echo", "the trial has no switchover")}
    return {"switchover_s": Measured((span[1] - span[0]) / SECOND, "s", "qmp_event, echo", samples=1)}


def event_of(recording: "Recording", name: str) -> Event | None:
    """The last event of that name: a later attempt replaces an earlier one."""
    return next((event for event in reversed(recording.events) if event.name == name), None)


def phase_of(recording: "Recording", phase: str) -> int | None:
    """Mono ns at which a phase began."""
    return next((e.mono_ns for e in recording.events if e.name == "phase" and e.data.get("phase") == phase), None)


def end_of(recording: "Recording") -> int:
    """Where recording ended: the collect phase. A trial that failed never comes to it: its probes ended with their
    last request. Without them the last event, 0 where there is none."""
    collect = phase_of(recording, "collect")
    if collect is not None:
        return collect
    sent = recording.table("echo_sent")["sent_ns"]
    return int(sent[-1]) if len(sent) else max((event.mono_ns for event in recording.events), default=0)


def foreign(recording: "Recording") -> bool:
    """Whether its hosts were others', of a cloud or by libvirt, with clocks and links of their own."""
    plan = recording.trial.plan
    return bool(plan.get("cloud", {}).get("name") or plan.get("libvirt", {}).get("hosts"))


def one_clock(recording: "Recording") -> bool:
    """Whether both hosts have this machine's clock: in every lab but on a cloud or on hosts of others."""
    return not foreign(recording)


def on_our_clock(recording: "Recording", host: str, wall_ns: int) -> tuple[float, float] | None:
    """(mono ns, its bound) of a stamp by the clock of that host; None where that clock was not read. A service stamps
    with the clock of its host, which on a cloud of others is not ours."""
    if one_clock(recording):
        return recording.wall_clock.to_mono(wall_ns), recording.wall_clock.worst_step_ns()
    clock = host_clocks(recording).get(host)
    return clock.to_mono(wall_ns) if clock is not None else None


def qmp_events(recording: "Recording", names: tuple[str, ...]) -> Iterator[QmpEvent]:
    """QMP events of those names since the request, both hosts, by time. Where a host's clock is neither ours nor was
    read, the moment is that at which the event was read."""
    request = event_of(recording, "migrate_request")
    if request is None:
        return
    rows = [row for row in recording.table("qmp_event").rows(named=True) if row["event"] in names]
    if not rows:
        return
    rows.sort(key=lambda row: int(row["event_wall_ns"]))
    found = [
        QmpEvent(row["event"], row["host"], row["event_wall_ns"], mono, bound, json.loads(row["data"] or "{}"))
        for row, (mono, bound) in zip(rows, _moments(recording, rows), strict=True)
    ]
    for event in sorted(found, key=lambda event: event.mono_ns):
        if event.mono_ns >= request.mono_ns:
            yield event


def event_at(recording: "Recording", name: str, mono_ns: int) -> QmpEvent:
    """The event of that name at a stamp that came from one."""
    return next(event for event in qmp_events(recording, (name,)) if event.mono_ns == mono_ns)


def _moments(recording: "Recording", rows: list[dict[str, Any]]) -> list[tuple[int, int | None]]:
    """(mono ns, its bound) of each event."""
    walls, read = (np.array([row[name] for row in rows], dtype=np.int64) for name in ("event_wall_ns", "recv_ns"))
    if one_clock(recording):
        bound = STAMP_NS + recording.wall_clock.worst_step_ns()
        return [(mono, bound) for mono in to_mono(recording.wall_clock, walls, read).tolist()]
    clocks = host_clocks(recording)
    return [
        clocks[host].to_mono(wall) if host in clocks and wall else (read_ns, None)
        for host, wall, read_ns in zip((row["host"] for row in rows), walls.tolist(), read.tolist(), strict=True)
    ]


def windows_of(recording: "Recording", packets: Packets | None = None) -> Windows:
    """The trial's windows. during ends with the observation where the service was never seen to recover. Of a migration
    that failed it ends at the failure, or where the service was seen to recover from that."""
    end = end_of(recording)
    if packets is None:
        packets = Packets.of(recording, end)
    request_event = event_of(recording, "migrate_request")
    if request_event is None:
        return Windows(None, None, None, None, None, None, None, None, None, None, end)
    request = request_event.mono_ns
    stop, resume, complete = _stamps(recording)
    failed_event = event_of(recording, "migrate_failed")
    failed = failed_event.mono_ns if failed_event else None
    recovered = recovery(packets, resume) if resume is not None else None
    if recovered is None:
        seen = event_of(recording, "recovered")
        recovered = seen.mono_ns if seen else None
    stopping = event_of(recording, "probes_stopping")
    observed = stopping.mono_ns if stopping else end
    last = max((stamp for stamp in (complete, recovered, failed) if stamp is not None), default=observed)
    back = recovered if recovered is not None else _back(packets, last)
    cut_off = back is None and bool((packets.sent_ns >= request).any())
    last = max(last, observed) if cut_off else max(last, back or last)
    during = (request, last) if last > request else None
    begun = phase_of(recording, "before")
    after = (last, min(last + (request - begun) if begun is not None else end, observed))
    gap = gap_of_migration(packets, stop, resume, during)
    # Without probes and without events of a hypervisor nothing shows when in it the machine moved.
    unknown = during if recording.trial.factors.policy == COMMAND else None
    return Windows(
        before=(begun, request) if begun is not None else None,
        during=during,
        switchover=_switchover(stop, gap) or unknown,
        after=after if after[1] > after[0] else None,
        request=request,
        stop=stop,
        resume=resume,
        complete=complete,
        recovered=recovered,
        failed=failed,
        end=end,
        cut_off=cut_off,
    )


def _stamps(recording: "Recording") -> tuple[int | None, int | None, int | None]:
    trial = recording.trial
    stops: list[int] = []
    resume = completed = None
    for event in qmp_events(recording, ("STOP", "RESUME", "MIGRATION")):
        if event.event == "STOP" and event.host == trial.source:
            stops.append(event.mono_ns)
        elif event.event == "RESUME" and event.host == trial.destination and resume is None:
            resume = event.mono_ns
        elif event.data.get("status") == "completed" and event.host == trial.source:
            completed = event.mono_ns
    # Because hosts' clocks differ by their bounds, the first STOP is taken where none comes before RESUME.
    stop = max((at for at in stops if resume is None or at <= resume), default=stops[0] if stops else None)
    done = event_of(recording, "migrate_done")
    if done is None:
        return stop, resume, None
    running = resume if resume is not None else done.mono_ns
    return stop, resume, max(completed if completed is not None else done.mono_ns, running)


def recovery(packets: Packets, resume_ns: int) -> int | None:
    """When the first 500 ms without a lost probe after RESUME have passed and their replies are there, mono ns; None
    where that never came, or without probes."""
    sent = packets.sent_ns
    after = sent >= resume_ns
    doubtful = after & (packets.rtt_ns < 0)
    starts = np.concatenate(([resume_ns], sent[doubtful] + 1))
    following = np.concatenate((sent[doubtful], [np.iinfo(np.int64).max]))
    for start, next_lost in zip(starts.tolist(), following.tolist(), strict=True):
        whole = (sent >= start) & (sent < start + RECOVERY_NS)
        if next_lost >= start + RECOVERY_NS and whole.any() and sent[-1] >= start + RECOVERY_NS - 2 * _slack(packets):
            return int(max(start + RECOVERY_NS, packets.arrived_ns[whole].max()))
    return None


def _back(packets: Packets, over_ns: int) -> int | None:
    """When the service was back after a migration that was over: at once where no probe was lost in the 500 ms from
    then on, else when it has recovered; None where it never did."""
    found = recovery(packets, over_ns)
    lost = packets.sent_ns[(packets.rtt_ns < 0) & (packets.sent_ns >= over_ns)]
    return over_ns if found is not None and not (lost < over_ns + RECOVERY_NS).any() else found


def _slack(packets: Packets) -> int:
    return round(packets.interval_ns)


def _switchover(stop: int | None, gap: Gap | None) -> Span | None:
    """From 1 s before STOP, or before the gap where none was seen, to 4 s after, and so far beyond either that the
    gap, and every probe that was sent in it, is within."""
    around = stop if stop is not None else gap.start_ns if gap is not None else None
    if around is None:
        return None
    first, last = around - SECOND, around + 4 * SECOND
    return (first, last) if gap is None else (min(first, gap.asked_ns), max(last, gap.end_ns))
