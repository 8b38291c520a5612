"""The data dictionary of an export: what each column is, in which unit, and where it came from."""

from migrascope.analysis.summary import Summary
from migrascope.metrics.catalogue import meaning

FACTORS = {
    "scenario": "what the website's page holds",
    "policy": "way of migrating, as the plan names it",
    "memory_bytes": "memory of the guest",
    "link_bps": "rate of the migration link; 0 without a limit",
    "downtime_limit_s": "QEMU's downtime limit",
    "cache": "whether the guest's page cache held the videos",
    "resident_bytes": "incompressible memory that the guest held",
    "probes": "whether it was probed and visited",
    "disturbance": "what disturbed it",
    "instances": "how many instances migrated at once",
    "vcpus": "processors of the guest",
    "write_Bps": "rate of the steady writer in the guest; 0 without one",
    "write_set_bytes": "its working set",
    "write_pattern": "the order in which it writes",
    "storage": "whether both hosts reach the volume (shared), or the migration copied it",
    "handover": "who let the destination run: qemu (itself), managed (a manager's word), own (as the lab does it)",
    "network": "who wired its ports, how tenants' networks share their link, when OVN activates a port; own: the lab's",
}
TRIAL = {
    "trial": "number of the trial in running order",
    "block": "number of the block, in which each cell is once",
    "source": "host that the instance left",
    "destination": "host that it went to",
    "status": "ok, failed, not-converged, overloaded or damaged",
    "reason": "why it failed",
    "limited": "whether the downtime limit decided: reported downtime over 0.7 of it",
    "verdict": "what became of the guest",
    "because": "what the verdict rests on",
    "at_least": "which figures (in cells: which of its numbers) are lower bounds, since they were cut off",
}
CELL = {
    "trials": "trials of the cell",
    "failed": "those that failed and are in no statistic",
    "limit_unknown": "trials of which it is not known whether the downtime limit decided; limited: in which it did",
    "metric": "name of the figure",
    "unit": "its base unit",
    "median": "median over the trials",
    "low": "lower end of the median's interval, by order statistics; empty below six trials",
    "high": "its upper end",
    "coverage": "coverage that the interval truly has",
    "min": "least",
    "max": "greatest",
    "n": "trials that measured it",
    "censored": "trials of these in which it was cut off, and is a lower bound",
}


def dictionary(summary: Summary) -> list[list[str]]:
    """Rows of (column, unit, source, meaning), a heading first."""
    rows = [["column", "unit", "source", "meaning"]]
    rows += [[name, "", "plan", text] for name, text in FACTORS.items()]
    rows += [[name, "", "trials", text] for name, text in TRIAL.items()]
    rows += [[name, "", "cells", text] for name, text in CELL.items()]
    seen = {
        key: (measured.unit, measured.source) for trial in summary.trials for key, measured in trial.metrics.items()
    }
    return rows + [[key, unit, source, meaning(key) or ""] for key, (unit, source) in seen.items()]
