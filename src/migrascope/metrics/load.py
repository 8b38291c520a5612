"""How the guest bore the load in the window before the migration, and which figures the load has spoiled."""

from itertools import product

import polars as pl

from migrascope.metrics.packets import NS, Packets, Span, inside
from migrascope.metrics.windows import Windows
from migrascope.model.family import FIRST, Family
from migrascope.model.load import PROCESSOR_MOST, SATURATED
from migrascope.model.measured import Measured, missing
from migrascope.model.steady import IN_TIME_NS, IN_TIME_SHARE, Due, in_time_share, unsteady
from migrascope.model.units import human
from migrascope.store.recording import Recording

KINDS = ("new", "kept")
_COMPARED = ("http_", "player_", "browser.stall", "visitor.lost_")
"""Figures that are held against the window before the migration."""
_COUNT_NS = 500_000_000
"""How far before the window the guest's last count may lie."""
_GUEST, _HYPERVISOR = "guest_load", "process_cpu"


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """load.in_time_ratio.KIND: visits of before that were answered within 100 ms. load.guest_busy_ratio and
    load.hypervisor_busy_ratio: the share of one core that the guest used in before, by its own count, and with what its
    QEMU uses for its devices."""
    return {
        **{f"load.in_time_ratio.{kind}": _in_time(recording, windows, kind) for kind in KINDS},
        "load.guest_busy_ratio": _guest(recording, windows),
        "load.hypervisor_busy_ratio": _hypervisor(recording, windows),
    }


def declared(recording: Recording) -> bool:
    """Whether the plan put a load of its own on the guest, or disturbed it, in the window before the migration."""
    trial = recording.trial
    said = trial.facts.get("declared_load")
    return bool(trial.factors.write_Bps or trial.factors.disturbance != "none") if said is None else bool(said)


def busy(found: dict[str, Measured]) -> float | None:
    """The share of one core that the guest used in before, None where nobody counted."""
    counts = (found["load.guest_busy_ratio"].value, found["load.hypervisor_busy_ratio"].value)
    return max((count for count in counts if count is not None), default=None)


def unsteady_before(recording: Recording, packets: Packets, windows: Windows) -> str | None:
    """Why the window before the migration was not steady, None where it was, or where nothing is to be compared."""
    if windows.before is None or declared(recording) or recording.trial.factors.probes == "none":
        return None
    begin, end = _judged(windows.before)
    rates = recording.trial.plan["visitors"]
    families: list[Family] = recording.trial.plan.get("families", [FIRST])
    for family, kind in product(families, KINDS):
        rate, visits = rates[f"{kind}_rate"], _visits(recording.over(family), (begin, end), kind)
        if rate and (why := unsteady(visits, begin, end, rate, spare=1)):
            return f"{why} ({kind if family == FIRST else f'{kind}, {family}'})"
    sent = inside(packets.sent_ns, windows.before)
    answered = float((packets.arrived_ns[sent] >= 0).mean()) if sent.any() else 1.0
    return None if answered >= IN_TIME_SHARE else f"{100 * answered:.0f} % of probes answered"


def without_spoiled(found: dict[str, Measured], why: str | None, *, exempt: bool) -> dict[str, Measured]:
    """The figures without those that cannot be told from the load's. why: why before was not steady, or None. exempt:
    the plan declares a load of the guest, which is what is measured then."""
    used = busy(found)
    reason = f"the window before the migration was not steady: {why}" if why is not None else None
    if reason is None and used is not None and used >= SATURATED and not exempt:
        reason = f"the load saturates the guest: {human(used, 'ratio')} of a core used before the migration"
    if reason is None:
        return found
    return {
        key: missing(measured.unit, measured.source, reason)
        if key.startswith(_COMPARED) and measured.value is not None
        else measured
        for key, measured in found.items()
    }


def warnings(found: dict[str, Measured], why: str | None, *, exempt: bool) -> list[str]:
    """Sentences that advise; see without_spoiled."""
    said = [f"the window before the migration was not steady: {why}; less load on this machine helps"] if why else []
    used = busy(found)
    if used is not None and used > PROCESSOR_MOST and not exempt:
        said.append(
            f"the guest used {human(used, 'ratio')} of a core before the migration, over "
            f"{human(PROCESSOR_MOST, 'ratio')}: it catches up late; fewer visits or viewers help"
        )
    return said


def _judged(before: Span) -> Span:
    """The part of before whose visits are answered in time before the request, or never: what becomes of later ones is
    the migration's doing."""
    return before[0], before[1] - IN_TIME_NS


def _visits(recording: Recording, span: Span, kind: str) -> list[Due]:
    table = recording.table("visit").filter(
        (pl.col("kind") == kind) & pl.col("due_ns").is_between(*span, closed="left")
    )
    done = pl.when(pl.col("error") == "").then(pl.col("done_ns")).otherwise(0)
    return [Due(due, answered) for due, answered in table.select("due_ns", done.alias("done")).rows()]


def _in_time(recording: Recording, windows: Windows, kind: str) -> Measured:
    if windows.before is None:
        return missing("ratio", "visit", "the trial has no window before")
    visits = _visits(recording, _judged(windows.before), kind)
    if not visits:
        return missing("ratio", "visit", "no visits of this kind")
    return Measured(in_time_share(visits, len(visits)), "ratio", "visit", samples=len(visits))


def _guest(recording: Recording, windows: Windows) -> Measured:
    if windows.before is None:
        return missing("ratio", _GUEST, "the trial has no window before")
    begin, end = windows.before
    rows = recording.table("guest_load").filter(pl.col("asked_ns").is_between(begin - _COUNT_NS, end)).sort("asked_ns")
    if rows.height < 2:
        return missing("ratio", _GUEST, "the guest was not asked twice in before")
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    took = last["uptime_s"] - first["uptime_s"]
    if took <= 0:
        return missing("ratio", _GUEST, "the guest's clock stood still")
    used = took * last["cpus"] - (last["idle_s"] - first["idle_s"])
    share = Measured(max(0.0, used / took), "ratio", _GUEST, samples=rows.height)
    return share.within(resolution=0.02 * last["cpus"] / took)


def _hypervisor(recording: Recording, windows: Windows) -> Measured:
    if windows.before is None:
        return missing("ratio", _HYPERVISOR, "the trial has no window before")
    rows = (
        recording.table("process_cpu")
        .filter(
            (pl.col("process") == f"qemu-{recording.trial.source}")
            & pl.col("mono_ns").is_between(*windows.before, closed="left")
        )
        .sort("mono_ns")
    )
    if rows.height < 2:
        return missing("ratio", _HYPERVISOR, "the CPU time of the source's QEMU was not counted in before")
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    took = (last["mono_ns"] - first["mono_ns"]) / NS
    return Measured((last["cpu_s"] - first["cpu_s"]) / took, "ratio", _HYPERVISOR, samples=rows.height)
