"""What the networks of a run cost its visitors, and which step of the blackout took it, as tables for documents: the
medians of each network and direction, and how much of each blackout its named steps explain.

.venv/bin/python benchmarks/network.py RUN
"""

import sys
from itertools import groupby
from pathlib import Path
from statistics import median

from common import verdict
from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.metrics.blackout_steps import STEPS, UNEXPLAINED
from migrascope.model.family import key_of
from migrascope.store.runfolder import RunFolder
from migrascope.testbed.settings import CONTROLLER

NAMED, OF_TRIALS = 0.95, 0.95
"""The goal: so much of the blackout is in named steps, in so many of the trials."""
COSTS = {
    "network blackout, ms": ("network_blackout_s", 1e3),
    "of it VM pause, ms": ("vm_pause_s", 1e3),
    "lost time of probes, ms": ("network_lost_time_s", 1e3),
    "HTTP blackout new, ms": ("http_new_blackout_s", 1e3),
    "HTTP blackout kept, ms": ("http_kept_blackout_s", 1e3),
    "request to completion, s": ("migration_time_s", 1),
    "data on the link, MB": ("data_transferred_bytes", 1e-6),
}
PARTS = {name.replace("_", " "): (f"blackout_step_s.{name}", 1e3) for name in (*STEPS, UNEXPLAINED)}


def way(trial: TrialResult) -> tuple[str, str, str]:
    """Network, disturbance, and where the destination lies, in words."""
    towards = "towards the router" if trial.facts.destination == CONTROLLER else "away from it"
    return trial.facts.factors.network, trial.facts.factors.disturbance, towards


def values(trials: list[TrialResult], key: str) -> list[float]:
    found = [trial.metrics[key].value for trial in trials if key in trial.metrics]
    return [value for value in found if value is not None]


def shown(trials: list[TrialResult], key: str, scale: float, *, spread: bool) -> str:
    """The median, with the least and the most where asked for; how many measured it where not all did."""
    found = sorted(value * scale for value in values(trials, key))
    if not found:
        return "—"
    low, middle, high = (
        f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}" for value in (found[0], median(found), found[-1])
    )
    text = middle if low == high or not spread else f"{middle} ({low} to {high})"
    return text + (f" [{len(found)}]" if len(found) < len(trials) else "")


def named(trials: list[TrialResult], whole: str, rest: str) -> list[float]:
    """The share of each trial's blackout that is in named steps."""
    return [
        1 - left[0] / black[0]
        for trial in trials
        if (black := values([trial], whole)) and (left := values([trial], rest)) and black[0] > 0
    ]


def main() -> None:
    run = RunFolder(Path(sys.argv[1]))
    summary = analyse(run)
    trials = [trial for cell in summary.cells for trial in summary.counted(cell.factors)]
    seen = summary.environment["environment"]
    print(f"{summary.accelerator}, QEMU {summary.qemu}, {seen['cpu']}, {seen['cores']} cores; {len(trials)} trials")
    order = {name: at for at, name in enumerate(dict.fromkeys(map(way, trials)))}
    ways = [(name, list(each)) for name, each in groupby(sorted(trials, key=lambda trial: order[way(trial)]), way)]
    for columns, spread in ((COSTS, True), (PARTS, False)):
        kept = {name: of for name, of in columns.items() if values(trials, of[0])}
        print("\n| " + " | ".join(["network", "destination", "trials", *kept]) + " |")
        print("|---" * (3 + len(kept)) + "|")
        for (network, disturbance, towards), each in ways:
            name = network if disturbance == "none" else f"{network}, {disturbance}"
            cells = [shown(each, *of, spread=spread) for of in kept.values()]
            print("| " + " | ".join([name, towards, str(len(each)), *cells]) + " |")
    for family, change in (("IPv4", str), ("IPv6", key_of)):
        shares = named(trials, change("network_blackout_s"), change(f"blackout_step_s.{UNEXPLAINED}"))
        if not shares:
            continue
        good = sum(share >= NAMED for share in shares)
        print(
            f"\n{family}: at least {NAMED:.0%} of the blackout in named steps in {good} of {len(shares)} trials"
            f" (goal {OF_TRIALS:.0%}: {verdict(good >= OF_TRIALS * len(shares))}); least {min(shares):.1%}"
        )


if __name__ == "__main__":
    main()
