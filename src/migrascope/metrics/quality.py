"""How far a trial can be trusted: what disturbed the measurement itself."""

import polars as pl

from migrascope.metrics.packets import NS, STEP_NS, Packets, Span, inside
from migrascope.metrics.rank import at_rank
from migrascope.metrics.windows import Windows
from migrascope.model.family import FIRST, SECOND
from migrascope.model.measured import Measured, missing
from migrascope.model.units import human
from migrascope.store.recording import Recording

SLEPT_S = 0.005
PRESSED_RATIO = 0.25
STOLEN_RATIO = 0.02
FULL_BEFORE = 0.95
CLOCK_EVERY_S = 0.1
"""So often both clocks are read."""


def measure(recording: Recording, packets: Packets, windows: Windows) -> dict[str, Measured]:
    """quality.*: the prober's lateness over all families, the wall clock's worst step, pressure on the CPU and steal in
    the trial."""
    return {**_prober(recording, windows), "quality.wall_step_s": _wall_step(recording), **_machine(recording, windows)}


def warnings(found: dict[str, Measured], packets: Packets, windows: Windows) -> list[str]:
    """Sentences that advise: what in this trial is to be doubted, with the number. `found` holds quality.* and
    probe.loss_ratio.before."""
    said = []
    slept = found["quality.prober_late_max_s"].value
    if slept is not None and slept > SLEPT_S:
        p99 = human(found["quality.prober_late_p99_s"].value or 0.0, "s")
        said.append(f"the prober slept: up to {human(slept, 's')} late (p99 {p99}); less load on this machine helps")
    step = found["quality.wall_step_s"].value
    if step is not None and step > STEP_NS / NS:
        said.append(
            f"the wall clock stepped by {human(step, 's')}: VM pause is void, and what the kernel or QEMU stamped "
            f"within {human(CLOCK_EVERY_S, 's')} of that may be off by as much; stop time synchronisation's steps"
        )
    pressed = found["quality.cpu_pressure"].value
    if pressed is not None and pressed > PRESSED_RATIO:
        said.append(f"tasks waited for a CPU {human(pressed, 'ratio')} of the migration; fewer viewers or visits help")
    stolen = found["quality.steal"].value
    if stolen is not None and stolen > STOLEN_RATIO:
        said.append(f"the hypervisor below took {human(stolen, 'ratio')} of this machine's CPU time")
    lost = found["probe.loss_ratio.before"].value
    if lost:
        said.append(f"{human(lost, 'ratio')} of the probes were lost in before, when nothing should be")
    return said + _few_probes(packets, windows)


def _few_probes(packets: Packets, windows: Windows) -> list[str]:
    if windows.before is None or not packets.interval_ns:
        return []
    due = (windows.before[1] - windows.before[0]) / packets.interval_ns
    sent = int(inside(packets.sent_ns, windows.before).sum())
    return [f"only {sent} of {due:.0f} probes were sent in before"] if sent < FULL_BEFORE * due else []


def _prober(recording: Recording, windows: Windows) -> dict[str, Measured]:
    keys = ("quality.prober_late_p99_s", "quality.prober_late_max_s")
    sent = pl.concat([recording.over(family).table("echo_sent") for family in (FIRST, SECOND)])
    late = (sent["sent_ns"] - sent["due_ns"]).to_numpy()
    if windows.before is not None and windows.during is not None:
        end = windows.after[1] if windows.after else windows.during[1]
        late = late[inside(sent["sent_ns"].to_numpy(), (windows.before[0], end))]
    if not len(late):
        return {key: missing("s", "echo_sent", "no echo probes") for key in keys}
    values = (at_rank(late, 99), float(late.max()))
    return {
        key: Measured(value / NS, "s", "echo_sent", samples=len(late)) for key, value in zip(keys, values, strict=True)
    }


def _wall_step(recording: Recording) -> Measured:
    if not recording.events and not recording.table("clock").height:
        return missing("s", "clock", "no clock was recorded")
    clock = recording.wall_clock
    return Measured(clock.worst_step_ns() / NS, "s", "clock", samples=len(clock.pairs))


def _machine(recording: Recording, windows: Windows) -> dict[str, Measured]:
    keys = ("quality.cpu_pressure", "quality.steal")
    rows = recording.table("machine").sort("mono_ns")
    if windows.during is not None:
        rows = rows.filter(pl.col("mono_ns").is_between(*_wider(windows.during)))
    if rows.height < 2:
        return {key: missing("ratio", "machine", "fewer than two samples in during") for key in keys}
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    took = (last["mono_ns"] - first["mono_ns"]) / NS
    used = last["busy_s"] - first["busy_s"]
    stolen = last["steal_s"] - first["steal_s"]
    found = {
        keys[1]: Measured(
            stolen / (used + stolen) if used + stolen > 0 else 0.0, "ratio", "machine", samples=rows.height
        )
    }
    if first["psi_cpu_some_us"] < 0:
        return {keys[0]: missing("ratio", "machine", "this kernel has no pressure stall information"), **found}
    pressed = (last["psi_cpu_some_us"] - first["psi_cpu_some_us"]) / 1e6 / took
    return {keys[0]: Measured(pressed, "ratio", "machine", samples=rows.height), **found}


def _wider(span: Span) -> Span:
    return span[0] - 100_000_000, span[1] + 100_000_000
