"""`compare` and `check`: what holds runs against one another, and against thresholds."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from migrascope.analysis.check import FAIL, UNKNOWN, check_run, junit, unfinished
from migrascope.analysis.compare import as_json
from migrascope.analysis.compare import compare as compare_runs
from migrascope.analysis.run import analyse
from migrascope.cli.console import Json, Runs, stdout
from migrascope.cli.output import print_json
from migrascope.cli.results import damage_of
from migrascope.model.problem import UsageProblem
from migrascope.model.schedule import schedule
from migrascope.report.terminal.comparison import show
from migrascope.store.atomic import write_whole
from migrascope.store.runfolder import find_run
from migrascope.study.plans import thresholds

EXITS = {FAIL: 1, UNKNOWN: 3}


def compare(
    first: str,
    /,
    *others: str,
    force: Annotated[bool, Parameter(negative="", help="Also where the environments differ too much.")] = False,
    json: Json = False,
    runs: Runs = Path("runs"),
) -> int:
    """Holds runs against the first one: what differs, by how much, and how sure that is. 3 if they are not comparable.

    Parameters
    ----------
    first
        A path, the beginning of an id, or -1 for the newest.
    others
        The runs that are held against it.
    """
    if not others:
        raise UsageProblem("compare wants two runs at least")
    ours, *theirs = (analyse(find_run(runs, run)) for run in (first, *others))
    found = [compare_runs(ours, other, force=force) for other in theirs]
    if json:
        print_json(as_json(found))
    else:
        for comparison in found:
            show(comparison, stdout())
    return max(damage_of(summary) for summary in (ours, *theirs))


def check(
    run: str = "-1",
    /,
    *,
    thresholds_: Annotated[
        Path | None, Parameter(name="--thresholds", help="A TOML file of thresholds, instead of the plan's.")
    ] = None,
    junit_: Annotated[Path | None, Parameter(name="--junit", help="Write the result as JUnit XML, too.")] = None,
    json: Json = False,
    runs: Runs = Path("runs"),
) -> int:
    """Holds the ends of a run's intervals against thresholds. 1 if one is surely crossed, 3 if one cannot be told.

    Parameters
    ----------
    run
        A path, the beginning of an id, or -1 for the newest.
    """
    folder = find_run(runs, run)
    source = thresholds_ if thresholds_ is not None else folder.path / "plan.toml"
    wanted = thresholds(source)
    if not wanted:
        raise UsageProblem(f"{source} has no [thresholds]; write one, or name a file with --thresholds")
    summary = analyse(folder)
    planned = [trial.factors for trial in schedule(folder.plan())]
    checks = check_run(summary, wanted) + unfinished(summary, planned)
    if junit_ is not None:
        _write_junit(junit_, junit(summary.run, checks))
    if json:
        print_json({"schema": 1, "run": summary.run, "checks": [vars(entry) for entry in checks]})
    else:
        for entry in checks:
            stdout().print(f"{entry.outcome:<8}{entry.cell}: {entry.key}: {entry.text}", markup=False, soft_wrap=True)
    outcomes = {entry.outcome for entry in checks}
    return damage_of(summary) or next((code for outcome, code in EXITS.items() if outcome in outcomes), 0)


def _write_junit(path: Path, text: str) -> None:
    """Writes it as a whole; a pipe or a terminal, as /dev/stdout, is written to."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
    else:
        write_whole(path, text)
