"""A run's results from its recordings: summary.json, the tables as CSV, and report.html."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from migrascope.analysis.export import summary_json
from migrascope.analysis.results import Cell, TrialResult
from migrascope.analysis.summary import Summary
from migrascope.metrics.packets import Packets
from migrascope.metrics.windows import end_of, windows_of
from migrascope.model.disturbance import NONE
from migrascope.report.charts.timeline import Timeline, timeline
from migrascope.report.export import csv
from migrascope.report.page import html
from migrascope.report.page.layers import Layers, layers
from migrascope.store.atomic import own_folder, write_json, write_whole
from migrascope.store.recording import DAMAGED, Recording
from migrascope.store.runfolder import RunFolder

MOST_TIMELINES = 36
"""So many trials on their time axes keep report.html below 3 MB."""


def write_results(run: RunFolder, summary: Summary) -> Path:
    """Writes summary.json, csv/*.csv and report.html of an analysed run into it, and
    returns the path of report.html. Each file is replaced whole or not at all. OSError when it cannot be written."""
    write_json(run.path / "summary.json", {**summary_json(summary), "trials": [_trial(t) for t in summary.trials]})
    files = csv.tables(summary)
    own_folder(run.path / "csv")
    for name, (_, text) in files.items():
        write_whole(run.path / "csv" / name, text)
    drawn = {number: in_time(run, number) for number in chosen_trials(summary)}
    shown = {number: line for number, (line, _) in drawn.items()}
    left_out = len(summary.trials) - len(shown)
    page = html.render(
        summary,
        shown,
        {number: seen for number, (_, seen) in drawn.items() if seen is not None},
        f"{left_out} of {len(summary.trials)} trials are not in this chooser, to keep the page small: it holds the "
        "disturbed and the failed ones, each row's longest blackouts, and those nearest its median migration time."
        if left_out
        else "",
        (run.path / "plan.toml").read_text(encoding="utf-8"),
        [(f"csv/{name}", holds) for name, (holds, _) in files.items()],
    )
    path = run.path / "report.html"
    write_whole(path, page)
    return path


def chosen_trials(summary: Summary, most: int = MOST_TIMELINES) -> list[int]:
    """Numbers of the trials to show in time: all if they are no more than `most`. Else the disturbed ones, all of which
    the matrix of disturbances leads to, and up to `most` others: the failed ones, and in turn for each cell its longest
    blackout and the trials nearest its median migration time."""
    there = [trial.facts for trial in summary.trials if trial.facts.status != DAMAGED]
    if len(there) <= most:
        return sorted(facts.number for facts in there)
    disturbed = {facts.number for facts in there if facts.factors.disturbance != NONE}
    first = [facts.number for facts in there if facts.status != "ok"]
    queues = [_by_interest(summary, cell) for cell in summary.cells]
    for place in range(max(map(len, queues))):
        first += [queue[place] for queue in queues if place < len(queue)]
    return sorted(disturbed.union([number for number in dict.fromkeys(first) if number not in disturbed][:most]))


def _by_interest(summary: Summary, cell: Cell) -> list[int]:
    """The worst trial of a cell, then the others by their distance from its median migration time."""
    median = cell.metrics["migration_time_s"].median if "migration_time_s" in cell.metrics else None

    def value(trial: TrialResult, key: str) -> float | None:
        return trial.metrics[key].value if key in trial.metrics else None

    def distance(trial: TrialResult) -> float:
        time = value(trial, "migration_time_s")
        return abs(time - median) if time is not None and median is not None else float("inf")

    trials = summary.counted(cell.factors)
    worst = sorted(trials, key=lambda trial: -(value(trial, "network_blackout_s") or 0.0))[:1]
    return [trial.facts.number for trial in worst + sorted(trials, key=distance)]


def _trial(trial: TrialResult) -> dict[str, Any]:
    facts = trial.facts
    return {
        "number": facts.number,
        "block": facts.block,
        "factors": asdict(facts.factors),
        "status": facts.status,
        "reason": facts.reason,
        "limited": trial.limited,
        "verdict": trial.judgement.as_json(),
        "warnings": trial.warnings,
        "checks": [asdict(check) for check in trial.checks],
        "signs": trial.shown.as_json() if trial.shown is not None else None,
        "metrics": {key: measured.as_json() for key, measured in trial.metrics.items()},
    }


def in_time(run: RunFolder, number: int) -> tuple[Timeline, Layers | None]:
    """A trial on its time axis, and on OpenStack as its layers saw it."""
    recording = Recording(run.trial(number))
    packets = Packets.of(recording, end_of(recording))
    windows = windows_of(recording, packets)
    visitors = recording.trial.plan["visitors"]
    buffer_s = visitors["file_buffer" if recording.trial.factors.scenario == "offline" else "live_buffer"]
    return timeline(recording, windows, packets, buffer_s), layers(recording, windows, packets)
