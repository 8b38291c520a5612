"""`export`: a run for others to use."""

from pathlib import Path

from migrascope.analysis.run import analyse
from migrascope.cli.console import Runs, stdout
from migrascope.cli.results import damage_of
from migrascope.report.export.export import export as write
from migrascope.store.runfolder import find_run


def export(run: str = "-1", folder: Path | None = None, /, *, runs: Runs = Path("runs")) -> int:
    """Writes a run's tables (CSV, Parquet), figures (SVG, PNG), data dictionary and how to cite it into a folder.

    Parameters
    ----------
    run
        A path, the beginning of an id, or -1 for the newest.
    folder
        A folder that is empty or not there; by default migrascope-ID here.
    """
    found = find_run(runs, run)
    target = folder if folder is not None else Path(f"migrascope-{found.id}")
    summary = analyse(found)
    for path in write(found, summary, target):
        stdout().print(str(path), soft_wrap=True, markup=False)
    return damage_of(summary)
