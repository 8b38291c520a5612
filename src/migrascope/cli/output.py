"""What a finished run prints: the table, the words, the path of the report."""

import json
from typing import Any

from rich.console import Console

from migrascope.analysis.run import analyse, worse_than_allowed
from migrascope.cli.console import stdout
from migrascope.report.build import write_results
from migrascope.report.terminal import show
from migrascope.store.runfolder import RunFolder


def print_json(value: Any) -> None:
    """Prints JSON on standard output; a reader that goes away early is no error of ours."""
    stdout().out(json.dumps(value, indent=1))


def table_and_report(run: RunFolder, console: Console) -> int:
    """Prints the table, writes the report; 4 if no trial at all was carried out, 1 if the verdict on one is worse than
    the plan allows, else 0."""
    summary = analyse(run)
    show(summary, console)
    path = write_results(run, summary)
    console.print(f"\nreport: {path.resolve()}", soft_wrap=True, markup=False)
    if all(cell.failed == cell.trials for cell in summary.cells):
        return 4
    return 1 if worse_than_allowed(summary) else 0
