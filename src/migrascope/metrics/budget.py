"""The downtime budget: the parts of the time without a reply that one after another make it up."""

from migrascope.metrics.network import migration_gap
from migrascope.metrics.packets import NS, Packets
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing

PARTS = ("budget.reported_downtime_s", "budget.until_resume_s", "budget.until_reply_s")


def measure(found: dict[str, Measured], packets: Packets, windows: Windows) -> dict[str, Measured]:
    """The parts in their order: reported downtime; the rest until RESUME (below 0 where QEMU reported more than it
    paused); RESUME until the first reply. `found` holds reported_downtime_s and vm_pause_s."""
    reported, pause = found["reported_downtime_s"], found["vm_pause_s"]
    rest = missing("s", "qmp_event", reported.reason or pause.reason or "not measured")
    if reported.value is not None and pause.value is not None:
        rest = Measured(pause.value - reported.value, "s", "qmp_event", bound=reported.bound, samples=1)
    return dict(zip(PARTS, (reported, rest, _until_reply(packets, windows)), strict=True))


def _until_reply(packets: Packets, windows: Windows) -> Measured:
    if windows.resume is None:
        return missing("s", "echo", "no RESUME on the destination")
    gap = migration_gap(packets, windows)
    if gap is None:
        return missing("s", "echo", "no reply came after RESUME")
    bound = 0.0 if gap.late else packets.interval_ns / NS
    until = Measured((gap.end_ns - windows.resume) / NS, "s", "echo", bound=bound, samples=1)
    return until.censored(not gap.ended)
