"""`show`, `report` and `schema`: what reads runs."""

from pathlib import Path
from typing import Literal

from migrascope.analysis.export import summary_json
from migrascope.analysis.run import analyse
from migrascope.cli.console import Json, Runs, stdout
from migrascope.cli.output import print_json
from migrascope.cli.results import damage_of
from migrascope.model import observation
from migrascope.model.plan import Plan
from migrascope.model.tables import CONSTANTS, TABLES
from migrascope.report.build import write_results
from migrascope.report.terminal.run_table import show as print_summary
from migrascope.store.runfolder import find_run


def show(run: str = "-1", /, *, json: Json = False, runs: Runs = Path("runs")) -> int:
    """Prints a run's table and what it shows, every number computed anew from its recordings.

    Parameters
    ----------
    run
        A path, the beginning of an id, or -1 for the newest.
    """
    summary = analyse(find_run(runs, run))
    if json:
        print_json(summary_json(summary))
    else:
        print_summary(summary, stdout())
    return damage_of(summary)


def report(run: str = "-1", /, *, runs: Runs = Path("runs")) -> int:
    """Writes a run's report.html, summary.json and CSV tables anew from its recordings; needs no QEMU and no root.

    Parameters
    ----------
    run
        A path, the beginning of an id, or -1 for the newest.
    """
    folder = find_run(runs, run)
    summary = analyse(folder)
    stdout().print(str(write_results(folder, summary).resolve()), soft_wrap=True, markup=False)
    return damage_of(summary)


def schema(what: Literal["plan", "tables", "observe"] = "plan", /) -> int:
    """Prints the JSON Schema of a plan or of an event of observe, or the columns of the recorded tables.

    Parameters
    ----------
    what
        plan, tables or observe.
    """
    if what == "plan":
        print_json(Plan.model_json_schema())
    elif what == "observe":
        print_json(observation.schema())
    else:
        tables = TABLES.values()
        print_json(
            {t.name: {"schema": t.schema, "row": t.row, "columns": t.columns, "constants": CONSTANTS} for t in tables}
        )
    return 0
