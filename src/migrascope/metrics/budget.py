"""The downtime budget: the parts of the time without a reply that one after another make it up."""

from migrascope.metrics.network import migration_gap
from migrascope.metrics.packets import NS, Packets
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing, summed

PARTS = ("budget.before_stop_s", "budget.reported_downtime_s", "budget.until_resume_s", "budget.until_reply_s")


def measure(found: dict[str, Measured], packets: Packets, windows: Windows) -> dict[str, Measured]:
    """The parts in their order, whose sum is the network blackout: from its beginning to STOP (below 0 where a reply
    under way was still heard after STOP); reported downtime; the rest until RESUME (below 0 where QEMU reported more
    than it paused); RESUME until its end. `found` holds reported_downtime_s, vm_pause_s and
    network_blackout_s."""
    reported, pause = found["reported_downtime_s"], found["vm_pause_s"]
    rest = missing("s", "qmp_event", reported.reason or pause.reason or "not measured")
    if reported.value is not None and pause.value is not None:
        apart = Measured(pause.value - reported.value, "s", "qmp_event", samples=1)
        rest = apart.within(**summed(pause.errors, reported.errors))
    before, after = _around(packets, windows, pause, found["network_blackout_s"])
    return dict(zip(PARTS, (before, reported, rest, after), strict=True))


def _around(packets: Packets, windows: Windows, pause: Measured, blackout: Measured) -> tuple[Measured, Measured]:
    """What of the blackout lies before STOP, and after RESUME. The error of either is that of the blackout's end,
    and of QEMU's stamp, which is at most that of the pause."""
    if windows.stop is None or windows.resume is None:
        why = "no STOP on the source" if windows.stop is None else "no RESUME on the destination"
        return missing("s", "echo", why), missing("s", "echo", why)
    gap = migration_gap(packets, windows)
    if gap is None:
        why = "no echo probe was answered around the switchover"
        return missing("s", "echo", why), missing("s", "echo", why)
    end = [(name, error) for name, error in blackout.errors if name != "resolution"]
    half = [("resolution", packets.interval_ns / NS / 2)]
    before = Measured((windows.stop - gap.begun_ns) / NS, "s", "echo", samples=1)
    after = Measured((gap.over_ns - windows.resume) / NS, "s", "echo", samples=1)
    return (
        before.within(**summed(half, end, pause.errors)),
        after.within(**summed([] if gap.late else half, end, pause.errors)).censored(not gap.ended),
    )
