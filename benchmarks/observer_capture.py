"""Whether capturing changes what is captured: the same migration with a capture and without, in interleaved pairs.

    sudo .venv/bin/python benchmarks/observer_capture.py [PAIRS]

A website with visitors, all probes in both. For each figure the median of the pair ratios (with / without) and its 90 %
interval by order statistics. Goal: the upper end at most 1.03 for time and data, 1.10 for pauses and delays.
"""

import sys

from common import run_plan
from migrascope.model.plan import Plan
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import parse
from observer import GOALS as OBSERVER
from observer import figures, rows

DELAYS = ("network_blackout_s", "probe.rtt_s.before.p50", "visitor.rtt_s.before.p50")
GOALS = OBSERVER | dict.fromkeys(DELAYS, 1.10)
Pair = tuple[RunFolder, RunFolder]
PLAN = """
name = "observer-capture"
seed = {seed}
blocks = 1
[axes]
scenario = ["none"]
[windows]
before = "2s"
[visitors]
viewers = 0
[capture]
enabled = {enabled}
"""


def plan(number: int, enabled: bool) -> Plan:
    """One trial of a pair."""
    return parse(PLAN.format(seed=number, enabled=str(enabled).lower()), "observer-capture")


def measured(pairs: int) -> list[Pair]:
    """(with a capture, without) of each pair; which of them is first alternates."""
    found = []
    for number in range(pairs):
        order = (True, False) if number % 2 else (False, True)
        done = {enabled: run_plan(plan(number, enabled)) for enabled in order}
        found.append((done[True], done[False]))
    return found


def table(done: list[Pair], title: str) -> str:
    """The machine, and a row for each figure."""
    found = [tuple(figures(run.recordings()[0], GOALS) for run in pair) for pair in done]
    ratios = {key: [with_[key] / without[key] for with_, without in found] for key in GOALS}
    return rows(done[0][0].manifest, ratios, GOALS, lambda interval, goal: interval.high <= goal, title)


if __name__ == "__main__":
    print(table(measured(int(sys.argv[1]) if len(sys.argv) > 1 else 20), "capture / none"))
