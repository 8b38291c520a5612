"""A run for others to use: tables as CSV and Parquet, each figure as SVG and PNG, what the columns are, how to cite."""

import csv as csv_module
import io
from pathlib import Path

import polars as pl

from migrascope import __version__
from migrascope.analysis.summary import Summary
from migrascope.model.problem import UsageProblem
from migrascope.report.build import chosen_trials, in_time
from migrascope.report.charts.figures import drawn, figures, trial_figures
from migrascope.report.columns import caution, first_line
from migrascope.report.export import csv
from migrascope.report.export.dictionary import dictionary
from migrascope.store.atomic import write_whole
from migrascope.store.recording import parquet
from migrascope.store.removal import remove_tree
from migrascope.store.runfolder import RunFolder

README = """# Migrascope run {run}

{line}
{caution}
`plan.toml` is the plan as it ran, `manifest.json` the machine and its versions. The tables are in `data/`, as CSV and
as Parquet with the same columns: `trials` holds a row for each trial, `cells` one for each cell and figure. Values are
in base units (s, B, bit/s, B/s, ratio); an empty field was not measured, and the column `reason` of `cells` says why.
What the column `at_least` names was cut off: the number is a lower bound.
`data/dictionary.csv` says what each column is. The figures are in `figures/`, those of single trials by their numbers.

To cite: {cite}

To make the same run again: `migrascope run plan.toml` with Migrascope {version}.
"""


def export(run: RunFolder, summary: Summary, folder: Path) -> list[Path]:
    """Writes all of an analysed run into a folder that must not hold anything yet, and gives the paths. UsageProblem
    where it does."""
    if folder.exists() and any(folder.iterdir()):
        raise UsageProblem(f"{folder} is not empty; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    part = folder.resolve() / ".part"
    try:
        _write(run, summary, part)
        for made in part.iterdir():
            made.rename(folder / made.name)
    finally:  # a disk that is full, or an interruption, leaves no half of an export
        remove_tree(part, part.parent)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write(run: RunFolder, summary: Summary, folder: Path) -> None:
    for made in (folder, folder / "data", folder / "figures"):
        made.mkdir()
    written: dict[str, str | bytes] = {name: (run.path / name).read_bytes() for name in ("plan.toml", "manifest.json")}
    for name, (_, text) in csv.tables(summary).items():
        written[f"data/{name}"] = text
        frame = pl.read_csv(io.StringIO(text), infer_schema_length=None)
        written[f"data/{name.removesuffix('.csv')}.parquet"] = parquet(frame)
    out = io.StringIO()
    csv_module.writer(out).writerows(dictionary(summary))
    written["data/dictionary.csv"] = out.getvalue()
    written["README.md"] = _readme(summary)
    specs = figures(summary)
    for number in chosen_trials(summary):
        specs |= trial_figures(number, *in_time(run, number))
    for name, spec in specs.items():
        written[f"figures/{name}.svg"], written[f"figures/{name}.png"] = drawn(spec)
    for name, content in written.items():
        write_whole(folder / name, content)


def _readme(summary: Summary) -> str:
    cite = f"Migrascope {__version__}, run {summary.run}, plan {summary.plan['name']}, {first_line(summary)}."
    said = caution(summary)
    return README.format(
        run=summary.run, line=first_line(summary), caution=f"\n{said}\n" if said else "", cite=cite, version=__version__
    )
