"""`data`: runs as data for a model."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli.console import Runs, stdout
from migrascope.predict import kept
from migrascope.predict.collected import FILE, collect
from migrascope.predict.learnt import learnt_of
from migrascope.report.export.card import card, dictionary
from migrascope.store.atomic import write_whole
from migrascope.store.runfolder import find_run


def data(
    run: str = "-1",
    folder: Path = Path("data"),
    /,
    *,
    beside: Annotated[str, Parameter(help="What else the machine did meanwhile, in words.")] = "",
    runs: Runs = Path("runs"),
) -> int:
    """Adds those trials of a run that it does not hold to a table of trials (Parquet), and writes its card, its
    dictionary, and what it teaches predictions. The run needs probes.dirty in its plan, and may still be going on.

    Parameters
    ----------
    run
        A path, the beginning of an id, or -1 for the newest.
    folder
        Of the table.
    """
    found = find_run(runs, run)
    folder.mkdir(parents=True, exist_ok=True)
    added, table = collect(found, folder / FILE, beside)
    if added:
        write_whole(folder / "README.md", card(table))
        write_whole(folder / "dictionary.csv", dictionary(table))
        kept.keep(folder / kept.FILE, learnt_of(table, folder / FILE), folder / FILE)
    stdout().print(f"{folder / FILE}: {added} trials added, {table.height} in all", soft_wrap=True)
    return 0
