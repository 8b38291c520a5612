"""What a finished run prints: the table, the words, the path of the report."""

from rich.console import Console

from migrascope.analysis.run import analyse, worse_than_allowed
from migrascope.analysis.summary import Summary
from migrascope.cli.console import stderr
from migrascope.model.problem import Problem
from migrascope.report.build import write_results
from migrascope.report.terminal.run_table import show
from migrascope.store.recording import DAMAGED
from migrascope.store.runfolder import RunFolder


def damage_of(summary: Summary) -> int:
    """Names each damaged recording on standard error: they are in no statistic. The exit code for it: 4, or 0 where
    there is none."""
    found = [trial.facts for trial in summary.trials if trial.facts.status == DAMAGED]
    for facts in found:
        words = f"migrascope: the recording of trial {facts.number} is damaged, so that it is in no statistic:"
        stderr().print(f"{words} {facts.reason}", markup=False, soft_wrap=True)
    return Problem.code if found else 0


def interrupted(run: RunFolder) -> bool:
    """Whether a trial of others' machine was interrupted, which is a result, too."""
    from migrascope.trial.observed import INTERRUPTED  # verbs that only read have no need of trials

    return any(recording.trial.reason == INTERRUPTED for recording in run.recordings())


def table_and_report(run: RunFolder, console: Console) -> int:
    """Prints the table, writes the report; 4 if no trial at all was carried out or a recording is damaged, 1 if the
    verdict on one is worse than the plan allows, else 0."""
    summary = analyse(run)
    path = write_results(run, summary)
    show(summary, console)
    console.print(f"\nreport: {path.resolve()}", soft_wrap=True, markup=False)
    if damage_of(summary) or all(cell.failed == cell.trials for cell in summary.cells):
        return Problem.code
    return 1 if worse_than_allowed(summary) else 0
