"""Runs of the same plan on several labs, layer by layer: medians, as a table for documents for each scenario.

.venv/bin/python benchmarks/labs.py RUN RUN [RUN]
"""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.metrics.migration import final_answer, query_migrate
from migrascope.metrics.windows import windows_of
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder

Figure = Callable[[TrialResult, Recording], float | None]


def metric(key: str, scale: float) -> Figure:
    return lambda trial, _: None if (value := trial.metrics[key].value) is None else value * scale


def sent_while_stopped(_: TrialResult, recording: Recording) -> float | None:
    """MB, by QEMU's last query-migrate."""
    sent = final_answer(recording, query_migrate(recording)).get("ram", {}).get("downtime-bytes")
    return None if sent is None else sent / 1e6


def limit(_: TrialResult, recording: Recording) -> float | None:
    """ms: what QEMU expected of the downtime when it was last asked before STOP, which is the limit until QEMU has
    measured its own bandwidth."""
    stop = windows_of(recording).stop
    told = [answer.get("expected-downtime") for at, answer in query_migrate(recording) if stop and at < stop]
    return float(told[-1]) if told and told[-1] is not None else None


def rest(trial: TrialResult, _: Recording) -> float | None:
    """ms of the VM pause after the source had sent everything."""
    pause, told = trial.metrics["vm_pause_s"].value, trial.metrics["reported_downtime_s"].value
    return None if pause is None or told is None else 1e3 * (pause - told)


ROWS: dict[str, Figure] = {
    "request to completion, s": metric("migration_time_s", 1),
    "of which QEMU's own, s": metric("reported_total_s", 1),
    "data on the link, MB": metric("data_transferred_bytes", 1e-6),
    "expected downtime before STOP, ms": limit,
    "sent while stopped, MB": sent_while_stopped,
    "QEMU's downtime, ms": metric("reported_downtime_s", 1e3),
    "rest until RESUME, ms": rest,
    "VM pause, ms": metric("vm_pause_s", 1e3),
    "network wiring, ms": metric("network_wiring_s", 1e3),
    "network blackout, ms": metric("network_blackout_s", 1e3),
    "round trip before, ms": metric("probe.rtt_s.before.p50", 1e3),
    "HTTP blackout new, ms": metric("http_new_blackout_s", 1e3),
    "HTTP blackout kept, ms": metric("http_kept_blackout_s", 1e3),
    "player stall, ms": metric("player_stall_s", 1e3),
}


def shown(run: RunFolder, summary: Summary, scenario: str, figure: Figure) -> str:
    """The median over the trials of a scenario that did not fail, with their number where some did not measure it; the
    plan's second part is not in it."""
    cells = [cell.factors for cell in summary.first_part() if cell.factors.scenario == scenario]
    trials = [trial for factors in cells for trial in summary.counted(factors)]
    found = [figure(t, Recording(run.trial(t.facts.number))) for t in trials]
    values = [value for value in found if value is not None]
    if not values:
        return "—"
    middle = median(values)
    text = f"{middle:.3g}" if middle < 1000 else f"{middle:.0f}"
    return text + (f" ({len(values)})" if len(values) < len(trials) else "")


def main() -> None:
    runs = [RunFolder(Path(path)) for path in sys.argv[1:]]
    summaries = [analyse(run) for run in runs]
    scenarios = list(dict.fromkeys(cell.factors.scenario for cell in summaries[0].cells))
    for summary in summaries:
        counts = ", ".join(f"{cell.factors.scenario} {cell.trials - cell.failed}" for cell in summary.first_part())
        environment = summary.environment["environment"]
        print(f"{summary.lab}: {summary.accelerator}, QEMU {summary.qemu}, {environment['cpu']}, ", end="")
        print(f"{environment['cores']} cores; trials: {counts}")
    for scenario in scenarios:
        print("\n| " + " | ".join([scenario, *(summary.lab for summary in summaries)]) + " |")
        print("|---" * (1 + len(runs)) + "|")
        for name, figure in ROWS.items():
            values = [shown(run, summary, scenario, figure) for run, summary in zip(runs, summaries, strict=True)]
            print("| " + " | ".join([name, *values]) + " |")


if __name__ == "__main__":
    main()
