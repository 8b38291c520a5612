"""What a finished run prints: the table, the words, the path of the report."""

import json
import sys
from typing import Any

from rich.console import Console

from migrascope.analysis.run import analyse
from migrascope.report.build import write_report
from migrascope.report.terminal import show
from migrascope.store.runfolder import RunFolder


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=1)
    sys.stdout.write("\n")


def table_and_report(run: RunFolder, console: Console) -> int:
    """Prints the table, writes the report; 4 if no trial at all was carried out, else 0."""
    summary = analyse(run)
    show(summary, console)
    path = write_report(run)
    console.print(f"\nreport: {path.resolve()}", soft_wrap=True, markup=False)
    return 0 if any(cell.failed < cell.trials for cell in summary.cells) else 4
