"""What the networks of a run cost its visitors, and which step of the blackout took it, as tables for documents: the
medians of each network and direction, when each thing was so, and how much of each blackout its named steps explain.

.venv/bin/python benchmarks/network.py RUN
"""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import polars as pl

from common import verdict
from labs import Figure, metric
from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.metrics.blackout_steps import STEPS, UNEXPLAINED
from migrascope.metrics.windows import windows_of
from migrascope.model.family import key_of
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.testbed.settings import CONTROLLER

NAMED, OF_TRIALS = 0.95, 0.95
"""The goal: so much of the blackout is in named steps, in so many of the trials."""


def after_resume(column: str) -> Figure:
    """ms from RESUME until a visit on a new connection had come so far. column: of the table visit."""

    def figure(_: TrialResult, recording: Recording) -> float | None:
        resume = windows_of(recording).resume
        if resume is None:
            return None
        came = (pl.col("kind") == "new") & (pl.col("connected_ns") > resume) & (pl.col(column) > resume)
        visits = recording.table("visit").filter(came)
        return (min(visits[column]) - resume) / 1e6 if visits.height else None

    return figure


COSTS = {
    "network blackout, ms": metric("network_blackout_s", 1e3),
    "of it VM pause, ms": metric("vm_pause_s", 1e3),
    "lost time of probes, ms": metric("network_lost_time_s", 1e3),
    "HTTP blackout new, ms": metric("http_new_blackout_s", 1e3),
    "HTTP blackout kept, ms": metric("http_kept_blackout_s", 1e3),
    "request to completion, s": metric("migration_time_s", 1),
    "data on the link, MB": metric("data_transferred_bytes", 1e-6),
}
PARTS = {name.replace("_", " "): metric(f"blackout_step_s.{name}", 1e3) for name in (*STEPS, UNEXPLAINED)}
STAMPS = {
    f"{name}, s": metric(f"{name}_s", 1)
    for name in (
        *("wiring.left", "wiring.came", "wiring.heard", "wiring.router", "network_wiring"),
        *("ovn.requested", "ovn.claimed", "ovn.installed", "ovn.activated", "ovn.unblocked"),
        *("ovn.switched", "ovn.up", "ovn.unbound", "ovn.floating"),
    )
} | {
    "first connection, ms": after_resume("connected_ns"),
    "first page, ms": after_resume("done_ns"),
}
TABLES = ((COSTS, True), (PARTS, False), (STAMPS, False))


def way(trial: TrialResult) -> tuple[str, str]:
    """Network and what disturbs it, and where the destination lies, in words."""
    factors = trial.facts.factors
    name = factors.network if factors.disturbance == "none" else f"{factors.network}, {factors.disturbance}"
    return name, "towards the router" if trial.facts.destination == CONTROLLER else "away from it"


def shown(found: list[float | None], *, spread: bool) -> str:
    """The median, with the least and the most where asked for; how many measured it where not all did."""
    values = sorted(value for value in found if value is not None)
    if not values:
        return "—"
    low, middle, high = (
        f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}" for value in (values[0], median(values), values[-1])
    )
    text = middle if low == high or not spread else f"{middle} ({low} to {high})"
    return text + (f" [{len(values)}]" if len(values) < len(found) else "")


def named(trials: list[TrialResult], key: Callable[[str], str]) -> list[float]:
    """The share of each trial's blackout that is in named steps. key: that of a figure over the family."""
    shares = []
    for trial in trials:
        whole, rest = (
            trial.metrics[each].value if each in trial.metrics else None
            for each in (key("network_blackout_s"), key(f"blackout_step_s.{UNEXPLAINED}"))
        )
        if whole and rest is not None:
            shares.append(1 - rest / whole)
    return shares


def main() -> None:
    run = RunFolder(Path(sys.argv[1]))
    summary = analyse(run)
    trials = [trial for cell in summary.cells for trial in summary.counted(cell.factors)]
    seen = summary.environment["environment"]
    print(f"{summary.accelerator}, QEMU {summary.qemu}, {seen['cpu']}, {seen['cores']} cores; {len(trials)} trials")
    groups: dict[tuple[str, str], list[tuple[TrialResult, Recording]]] = {}
    for trial in trials:
        groups.setdefault(way(trial), []).append((trial, Recording(run.trial(trial.facts.number))))
    for columns, spread in TABLES:
        rows = {
            name: [[figure(*each) for each in group] for figure in columns.values()] for name, group in groups.items()
        }
        kept = [at for at in range(len(columns)) if any(v is not None for row in rows.values() for v in row[at])]
        print("\n| " + " | ".join(["network", "destination", "trials", *(list(columns)[at] for at in kept)]) + " |")
        print("|---" * (3 + len(kept)) + "|")
        for name in sorted(rows):
            cells = [shown(rows[name][at], spread=spread) for at in kept]
            print("| " + " | ".join([*name, str(len(groups[name])), *cells]) + " |")
    for family, key in (("IPv4", str), ("IPv6", key_of)):
        if shares := named(trials, key):
            good = sum(share >= NAMED for share in shares)
            print(
                f"\n{family}: at least {NAMED:.0%} of the blackout in named steps in {good} of {len(shares)} trials"
                f" (goal {OF_TRIALS:.0%}: {verdict(good >= OF_TRIALS * len(shares))}); least {min(shares):.1%}"
            )


if __name__ == "__main__":
    main()
