"""One interruption as each layer counts it, and what lies between libvirt's count and the VM pause. Pure."""

from statistics import median
from typing import Any

from migrascope.analysis.results import Cell
from migrascope.analysis.summary import Summary
from migrascope.model.units import human
from migrascope.report.columns import DASH

LIBVIRT, PAUSE = "libvirt_downtime_s", "vm_pause_s"
COUNTS = {
    "reported_downtime_s": ("QEMU", "from the guest's stop until the source has sent everything"),
    PAUSE: ("VM pause", "from STOP on the source to RESUME on the destination, both stamped by QEMU"),
    "libvirt_downtime_net_s": ("libvirt, net", "libvirt's count without the time to hand control from host to host"),
    LIBVIRT: ("libvirt", "from when libvirt has heard of STOP until the other libvirt has started the guest"),
    "network_blackout_s": (
        "Network blackout",
        "from the last answer to a probe until the next: pause and network",
    ),
}
BETWEEN = "libvirt hears of STOP after QEMU stamped it, and tells that the guest runs after QEMU stamped RESUME"


def downtimes(summary: Summary) -> list[dict[str, Any]]:
    """Rows of the table: each count with its median in every cell, and libvirt's count minus the VM pause of the same
    trial with its range. Empty where no trial has libvirt's count."""
    if not any(_value(cell, LIBVIRT) for cell in summary.cells):
        return []
    rows = [
        {"name": name, "what": what, "values": [_value(cell, key) or DASH for cell in summary.cells]}
        for key, (name, what) in COUNTS.items()
    ]
    rows.append({"name": "libvirt − VM pause", "what": BETWEEN, "values": [_apart(summary, c) for c in summary.cells]})
    return rows


def _value(cell: Cell, key: str) -> str:
    statistic = cell.metrics.get(key)
    return (statistic and statistic.text("median", lambda value: human(value, "s"))) or ""


def _apart(summary: Summary, cell: Cell) -> str:
    apart = []
    for trial in summary.counted(cell.factors):
        told, pause = trial.metrics[LIBVIRT].value, trial.metrics[PAUSE].value
        if told is not None and pause is not None:
            apart.append(1e3 * (told - pause))
    return f"{median(apart):+.1f} ms ({min(apart):+.1f} to {max(apart):+.1f})" if apart else DASH
