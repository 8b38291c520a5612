"""The columns of the report's table: which metric each shows, in which unit, and how fine."""

import math
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from migrascope.analysis.results import Cell, Statistic
from migrascope.analysis.summary import Summary
from migrascope.metrics.catalogue import metric_of
from migrascope.metrics.family import DIFFERENCE
from migrascope.model.family import SECOND, key_of
from migrascope.model.schedule import Factors
from migrascope.model.units import byte_rate_text, duration_text, human, rate_text, size_text
from migrascope.store.runfolder import machine_text

DASH = "—"


@dataclass(frozen=True)
class Column:
    """One metric of the catalogue as a column. unit is the shown one, scale how many base units it holds. layer names
    the rows of the calibration that bound its error; nothing finer than that error is shown, or than 1 ms where there
    is none."""

    key: str
    unit: str
    scale: float
    layer: tuple[str, str] | None = None

    @cached_property
    def title(self) -> str:
        metric = metric_of(self.key)
        assert metric is not None
        return f"{metric.title} p95" if self.key.endswith(".p95") else str(metric.title)

    @property
    def heading(self) -> str:
        return f"{self.title} [{self.unit}]"


COLUMNS = [
    Column("migration_time_s", "s", 1),
    Column("vm_pause_s", "ms", 1e-3, ("vm", "pause")),
    Column("network_blackout_s", "ms", 1e-3, ("network", "cut")),
    Column("http_new_blackout_s", "ms", 1e-3, ("http", "hold")),
    Column("http_kept_blackout_s", "ms", 1e-3, ("http", "hold")),
    Column("player_stall_s", "ms", 1e-3, ("player", "hold")),
    Column("data_transferred_bytes", "MB", 1e6),
    Column("probe.rtt_s.switchover.p95", "ms", 1e-3),
    Column("probe.rtt_variation_s.switchover.p95", "ms", 1e-3),
    Column("probe.loss_ratio.switchover", "%", 1e-2),
    Column("visitor.goodput_bps.switchover", "Mbit/s", 1e6),
]
_OVER_IPV6 = [
    Column(key, "ms", 1e-3, layer)
    for first, layer in (("network_blackout_s", ("network", "cut")), ("http_new_blackout_s", ("http", "hold")))
    for key in (key_of(first), key_of(first, DIFFERENCE))
]
LEGEND = (
    "Median over the trials of a row, with the interval of the median from six trials on; ≥: at least, it was cut off. "
    "Delay, jitter, loss and throughput: round trips of probes, their variation, probes lost and what visitors "
    "received, from 1 s before the VM stops to 4 s after, and as far as the network blackout reaches. Limited: trials "
    "in which the downtime limit decided (?: not known)."
)
_SWITCHOVER_S = 5.0


def columns_of(summary: Summary) -> list[Column]:
    """The columns of a run's table: of a dual-stack one also what came over IPv6, and how much more that is."""
    return [*COLUMNS, *(_OVER_IPV6 if SECOND in summary.plan.get("families", []) else [])]


def finest(column: Column, calibration: list[dict[str, Any]] | None) -> float:
    """The smallest step, in base units, in which a figure of the column may be shown: a decade of the calibrated error
    of its layer; 10 µs for single round trips, whose stamps are no better; 0 where nothing but its digits limits it."""
    if column.layer is None:
        return 1e-5 if column.unit == "ms" else 0.0
    for row in calibration or []:
        if row["quoted"] and (row["layer"], row["truth"]) == column.layer and row["nominal_s"] is None:
            error = row["abs_error_p95_s"]
            if isinstance(error, float | int) and error > 0:
                return float(10.0 ** math.floor(math.log10(error)))
    return 1e-3


def figure(value: float, column: Column, step: float) -> str:
    """Three significant digits in the column's unit, and nothing finer than `step` (base units)."""
    number = (round(value / step) * step if step else value) / column.scale
    digits = max(0, 2 - math.floor(math.log10(abs(number)))) if number else 0
    if step:
        digits = min(digits, max(0, -math.floor(math.log10(step / column.scale) + 1e-9)))
    return f"{number:.{min(digits, 3)}f}"


@dataclass(frozen=True)
class Entry:
    """A cell of the table as text: the median, the interval ("" without one), and why there is none."""

    median: str
    interval: str
    reason: str | None


def entry(statistic: Statistic | None, column: Column, step: float) -> Entry:
    """What a table shows of one metric of one cell."""
    if statistic is None or statistic.median is None:
        return Entry(DASH, "", (statistic and statistic.reason) or "no trial recorded it")
    median, low, high = (
        statistic.text(name, lambda value: figure(value, column, step)) for name in ("median", "low", "high")
    )
    return Entry(median or DASH, "" if low is None or high is None else f"{low}–{high}", None)


OF_WRITERS = ("write_set_bytes", "write_pattern")
FACTOR_TITLES = {
    "scenario": "Scenario",
    "policy": "Policy",
    "memory_bytes": "Memory",
    "link_bps": "Link",
    "downtime_limit_s": "Limit",
    "cache": "Page cache",
    "disturbance": "Disturbance",
    "instances": "Instances",
    "probes": "Probes",
    "resident_bytes": "Resident",
    "storage": "Storage",
    "vcpus": "vCPUs",
    "write_Bps": "Writes",
    "write_set_bytes": "Working set",
    "write_pattern": "Pattern",
    "handover": "Handover",
    "network": "Network",
}


def shown_factors(cells: list[Cell]) -> list[str]:
    """The scenario, and every other factor that varies among the cells."""
    return ["scenario", *(name for name in varying([cell.factors for cell in cells]) if name != "scenario")]


def varying(beside: list[Factors]) -> list[str]:
    """The factors that differ; a writer's set and pattern only where they differ among writers."""
    writing = [factors for factors in beside if factors.write_Bps]

    def levels(name: str) -> set[object]:
        return {getattr(factors, name) for factors in (writing if name in OF_WRITERS else beside)}

    return [field.name for field in fields(Factors) if len(levels(field.name)) > 1]


def factor_title(name: str) -> str:
    return FACTOR_TITLES.get(name, name.replace("_", " "))


def factor_text(name: str, value: object) -> str:
    """A factor's value with its unit, as the plan would write it."""
    if isinstance(value, int | float):
        if name.endswith("_bytes"):
            return size_text(value)
        if name.endswith("_bps"):
            return rate_text(value)
        if name.endswith("_Bps"):
            return byte_rate_text(value)
        if name.endswith("_s"):
            return duration_text(value)
    return str(value)


def cell_name(factors: Factors, shown: list[str]) -> str:
    """A cell in words: "offline", or "offline · 100mbit"."""
    return " · ".join(factor_text(name, getattr(factors, name)) for name in shown)


def first_line(summary: Summary) -> str:
    """Lab, accelerator, QEMU and machine: what no figure may be read without. Of a machine of others only its address
    is known."""
    machine = machine_text(summary.environment)
    if summary.lab == "address":
        observed = summary.plan["observed"]
        return f"{observed['name']}, moved by {Path(observed['command'][0]).name} · observed from {machine}"
    parts = [f"lab {summary.lab}", summary.accelerator, f"QEMU {summary.qemu}", machine]
    return " · ".join(part for part in parts if not part.endswith("none"))


def widened(summary: Summary) -> str | None:
    """Which rows' ratios are of a longer window than the others', and how long it is; None where none are."""
    shown = shown_factors(summary.cells)
    longer = [
        f"{cell_name(cell.factors, shown) or 'all'} {human(length, 's')}"
        for cell in summary.cells
        if (statistic := cell.metrics.get("switchover_s")) is not None
        and (length := statistic.median) is not None
        and length > _SWITCHOVER_S
    ]
    if not longer:
        return None
    return "The network blackout reaches beyond 1 s before the stop to 4 s after. Window (median): " + ", ".join(longer)


def caution(summary: Summary) -> str | None:
    """What a reader must know before any figure of this lab and accelerator."""
    if summary.lab == "fake":
        return "Fake lab: these figures come from a script, not from a machine."
    if summary.accelerator == "tcg":
        return "Software emulation (TCG): compare these figures only with other TCG figures."
    return None
