"""The built-in plans on two cores: what each policy costs, and whether more data means more downtime.

    sudo .venv/bin/python benchmarks/policies.py policies|limits

Prints the machine, how long it took (goal for policies: 60 minutes), and the table, or the sentences on the limits.
"""

import os
import sys
import time

from common import machine, run_plan, verdict
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.report.page import policies
from migrascope.study.plans import load

CORES = 2
GOAL_S = 3600.0


def measured(name: str) -> tuple[Summary, float]:
    """The run of a built-in plan on two cores, and how many seconds it took."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    began = time.monotonic()
    run = run_plan(load(name))
    return analyse(run), time.monotonic() - began


def _lines(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def table(summary: Summary, seconds: float) -> str:
    """Machine and time, then the table of policies, or else a sentence for each limit."""
    shows = policies.table(summary)
    head = f"{machine(summary.environment)}\n{len(summary.trials)} trials in {seconds / 60:.0f} min"
    if shows is None:
        return "\n".join([head, *(f.text for f in summary.findings if f.topic in ("regime", "limit"))])
    return "\n".join([f"{head}, goal 60: {verdict(seconds <= GOAL_S)}", *_lines([shows["heads"], *shows["rows"]])])


def main() -> None:
    print(table(*measured(sys.argv[1])))


if __name__ == "__main__":
    main()
