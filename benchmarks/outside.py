"""What `observe` tells from outside, against pauses of a guest of known lengths: its blackouts, and how long it says
that the guest itself was paused.

    sudo .venv/bin/python benchmarks/outside.py [REPEATS]

The QEMU lab's instance is stopped and continued by QMP, 0.1 to 1 s each time, REPEATS times each length. The observer
runs where the visitors are, and knows nothing but the address.

Goals: of a hundred pauses, 95 within 5 ms; blackouts 2.5 ms off at p95.
"""

import asyncio
import random
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np

from common import machine, verdict
from migrascope.lab.qemu.lab import QemuInstance
from migrascope.model.clock import clock_pair
from migrascope.trial.parts import Trial
from observer_process import Observer, guest_up

LENGTHS_S = (0.1, 0.2, 0.5, 1.0)
QUIET_S, REST_S = 15.0, 4.0
RATE = 500
WITHIN_S, SHARE, BLACKOUT_S = 0.005, 0.95, 0.0025


@dataclass(frozen=True)
class Pause:
    """One that was made: its begin (wall, s), and its length (s)."""

    begin_s: float
    length_s: float


async def pauses(trial: Trial, repeats: int) -> list[Pause]:
    """Makes them, in shuffled order."""
    made = cast(QemuInstance, trial.instance)
    monitor, found = made.monitors[made.host], []
    lengths = [length for length in LENGTHS_S for _ in range(repeats)]
    random.Random(1).shuffle(lengths)
    await asyncio.sleep(QUIET_S)
    for length in lengths:
        before, wall = clock_pair()
        await monitor.execute("stop")
        stopped, _ = clock_pair()
        await asyncio.sleep(length * random.uniform(0.9, 1.1))
        asked, _ = clock_pair()
        await monitor.execute("cont")
        after, _ = clock_pair()
        found.append(Pause(wall / 1e9, (asked + after - before - stopped) / 2e9))
        await asyncio.sleep(REST_S)
    return found


async def observed(repeats: int) -> tuple[dict[str, Any], list[Pause], list[dict[str, Any]]]:
    """The lab's facts, the pauses that were made, and the blackouts that were told."""
    async with guest_up() as (trial, facts):
        observer = Observer(trial.lab.client, trial.instance.address, RATE)
        await observer.start()
        try:
            made = await pauses(trial, repeats)
        finally:
            told = await observer.stop()
        return facts, made, [event for event in told if event["event"] == "blackout"]


def table(facts: dict[str, Any], made: list[Pause], told: list[dict[str, Any]]) -> str:
    """Each pause with the blackout that began nearest to it; a pause of which none was told counts as missed."""
    begins = np.array([datetime.fromisoformat(event["time"]).timestamp() for event in told])
    off: list[float] = []
    blackouts: list[float] = []
    unknown: dict[str, int] = {}
    for pause in made:
        near = int(np.argmin(np.abs(begins - pause.begin_s))) if len(begins) else -1
        if near < 0 or abs(begins[near] - pause.begin_s) > 1:
            unknown["no blackout was told"] = unknown.get("no blackout was told", 0) + 1
            continue
        event = told[near]
        blackouts.append(event["seconds"] - pause.length_s)
        if event["paused_s"] is None:
            unknown[event["pause_unknown"]] = unknown.get(event["pause_unknown"], 0) + 1
        else:
            off.append(event["paused_s"] - pause.length_s)
    within = sum(abs(error) <= WITHIN_S for error in off)
    lines = [machine(facts), f"{len(made)} pauses of 0.1 to 1 s; errors in ms"]
    for name, errors in (("guest's pause", off), ("blackout", blackouts)):
        size = 1e3 * np.abs(errors) if errors else np.full(1, np.nan)
        lines.append(
            f"{name:16} n {len(errors):4}  bias {1e3 * np.median(errors) if errors else np.nan:7.2f}  |error| "
            f"{np.median(size):6.2f}  p95 {np.percentile(size, 95):6.2f}  worst {size.max():6.2f}"
        )
    lines += [f"not known: {count} of {len(made)}: {why}" for why, count in unknown.items()]
    worst = float(np.percentile(np.abs(blackouts), 95)) if blackouts else float("inf")
    lines.append(f"within 5 ms: {within} of {len(made)} (goal 95 %: {verdict(within >= SHARE * len(made))})")
    lines.append(f"blackout at p95 (goal 2.5 ms): {verdict(worst <= BLACKOUT_S)}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(*asyncio.run(observed(int(sys.argv[1]) if len(sys.argv) > 1 else 25))))
