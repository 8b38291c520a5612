"""libvirt's phases of a migration by its own log, and what its handover adds to the pause of the VM."""

from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from migrascope.metrics.network import migration_gap
from migrascope.metrics.packets import NS, Packets
from migrascope.metrics.windows import QmpEvent, Windows, event_at, one_clock, qmp_events
from migrascope.model.measured import Measured, missing, summed
from migrascope.store.recording import Recording

SOURCE, EVENTS = "libvirt_log", "qmp_event"
PHASES = {
    "connect": "libvirt takes the call and connects to the other",
    "begin": "the source describes the domain",
    "prepare": "the destination starts a QEMU for it",
    "perform": "QEMU migrates, and the source's libvirt ends that",
    "finish": "the destination's libvirt starts the guest",
    "confirm": "the source's libvirt ends its QEMU",
}
_BEGUN = "Setting 'migration out' phase to 'begin3'"
_STARTS = ("Prepare3 ", "Perform3 ", "Finish3 ", "Confirm3 ")
_OVER = "qemuMigrationSrcRestoreDomainState"
_MS = 10**6
_PARTS = {"pause": "VM pause", "blackout": "network blackout"}


@dataclass(frozen=True)
class Phase:
    """One phase, mono ns; end None where the log does not say."""

    start: int
    end: int | None


def measure(recording: Recording, packets: Packets, windows: Windows) -> dict[str, Measured]:
    """phase_s.NAME of each phase, phase_pause_s.NAME and phase_blackout_s.NAME (what of it lies within VM pause and
    network blackout), handover.wait_s and handover.start_s."""
    found = phases(recording, windows)
    gap = migration_gap(packets, windows)
    pause = (windows.stop, windows.resume) if windows.stop is not None and windows.resume is not None else None
    spans = {"pause": pause, "blackout": (gap.begun_ns, gap.over_ns) if gap is not None else None}
    return {
        **{f"phase_s.{name}": _length(recording, found, name) for name in PHASES},
        **{
            f"phase_{part}_s.{name}": _within(_length(recording, found, name), found.get(name), span, _PARTS[part])
            for part, span in spans.items()
            for name in PHASES
        },
        **_handover(recording, windows),
    }


def phases(recording: Recording, windows: Windows) -> dict[str, Phase]:
    """The phases that the source's libvirt told of the last migration, by name and in their order; the last may have no
    end. Empty where no log was read, or by another clock."""
    if windows.request is None or not one_clock(recording):
        return {}
    starts, over = _marks(recording, windows.request)
    edges = pairwise([windows.request, *starts, over])
    return {
        name: Phase(start, end)
        for name, (start, end) in zip(PHASES, edges, strict=False)
        if starts and start is not None
    }


def _marks(recording: Recording, request_ns: int) -> tuple[list[int], int | None]:
    """When the source's libvirt began begin, and each phase after it, as far as it came; and when all was over, None
    where it does not say. Mono ns: the middle of the ms that it wrote."""
    clock = recording.wall_clock
    rows = recording.table(SOURCE).filter(pl.col("host") == recording.trial.source).sort("wall_ns", maintain_order=True)
    wanted, starts, thread = [_BEGUN, *_STARTS], list[int](), None
    for wall, by, function, message in rows.select("wall_ns", "thread", "function", "message").rows():
        at = clock.to_mono(wall) + _MS // 2
        if at + _MS // 2 < request_ns or thread not in (None, by):
            continue
        if wanted and message.startswith(wanted[0]):
            thread, wanted = by, wanted[1:]
            starts.append(at)
        elif function == _OVER and thread is not None:
            return starts, at
    return starts, None


def _length(recording: Recording, found: dict[str, Phase], name: str) -> Measured:
    phase = found.get(name)
    if phase is None or phase.end is None:
        return missing("s", SOURCE, _absent(recording, name, found))
    stamps = 1 if name == "connect" else 2  # the request is our own stamp
    length = Measured(max(0, phase.end - phase.start) / NS, "s", SOURCE, samples=stamps)
    step = recording.wall_clock.worst_step_ns()
    return length.within(resolution=stamps * _MS / 2 / NS, clock=step / NS)


def _absent(recording: Recording, name: str, found: dict[str, Phase]) -> str:
    if not one_clock(recording):
        return "libvirt's log is of a host whose clock is not ours"
    if recording.table(SOURCE).is_empty():
        return "no log of libvirt was read"
    return f"libvirt's log tells {'no end' if name in found else 'nothing'} of the phase {name}"


def _within(length: Measured, phase: Phase | None, span: tuple[float, float] | None, what: str) -> Measured:
    """What of a phase lies within a span, whose own error is not in the bound."""
    if length.value is None or phase is None or phase.end is None:
        return length
    if span is None:
        return missing("s", SOURCE, f"the trial has no {what}")
    part = max(0, min(phase.end, span[1]) - max(phase.start, span[0]))
    return Measured(part / NS, "s", SOURCE, samples=length.samples).within(**dict(length.errors))


def _handover(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """Between QEMU's own events: how long the source, whose guest stood still, waited for the word to go on, and the
    destination, which had everything, for the word to run."""
    trial, stop, resume = recording.trial, windows.stop, windows.resume
    keys = ("handover.wait_s", "handover.start_s")
    if stop is None or resume is None:
        return dict.fromkeys(keys, missing("s", EVENTS, "the trial has no VM pause"))
    told = [event for event in qmp_events(recording, ("MIGRATION",)) if stop <= event.mono_ns <= resume]
    held = _of(told, trial.source, "pre-switchover")
    after = [event for event in told if held and event.host == trial.source and event.mono_ns > held.mono_ns]
    got = _of(told, trial.destination, "completed")
    wait = missing("s", EVENTS, "the source did not wait before its switchover")
    if held and after:
        wait = _between(recording, held, after[0])
    start = missing("s", EVENTS, "the destination waited for no word before RESUME")
    if got:
        start = _between(recording, got, event_at(recording, "RESUME", resume))
    return dict(zip(keys, (wait, start), strict=True))


def _of(told: list[QmpEvent], host: str, status: str) -> QmpEvent | None:
    return next((event for event in told if event.host == host and event.data.get("status") == status), None)


def _between(recording: Recording, first: QmpEvent, last: QmpEvent) -> Measured:
    """Two events of one QEMU, by its own stamps."""
    length = Measured((last.wall_ns - first.wall_ns) / NS, "s", EVENTS, samples=2)
    errors = [("resolution", 1e-6), ("clock", recording.wall_clock.worst_step_ns() / NS)]
    return length.within(**summed(errors))
