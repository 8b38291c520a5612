"""Metrics of a run: where its trial is, what its migrations came to, and what the finished ones cost."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from migrascope.metrics.trial import measure
from migrascope.model.events import PHASES
from migrascope.model.measured import Measured
from migrascope.model.schedule import TrialSpec
from migrascope.store.recording import DAMAGED, Damaged, Recording
from migrascope.study.exposition.histogram import Histogram
from migrascope.study.labs.labs import Progress

CELL = ("scenario", "policy")
_SHORT_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_LONG_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_BYTES = (1e6, 1e7, 5e7, 1e8, 2e8, 5e8, 1e9, 2e9, 5e9, 1e10, 1e11)


@dataclass(frozen=True)
class Figure:
    """A figure of finished trials. key: of its metric; name: without prefix, with its unit."""

    key: str
    name: str
    edges: Sequence[float]
    words: str


FIGURES = (
    Figure("migration_time_s", "migration_time_seconds", _LONG_S, "from the request to the end of a migration"),
    Figure("vm_pause_s", "vm_pause_seconds", _SHORT_S, "how long the guest stood still"),
    Figure("network_blackout_s", "network_blackout_seconds", _SHORT_S, "how long probes of the guest were silent"),
    Figure("http_new_blackout_s", "http_blackout_seconds", _SHORT_S, "how long visits on new connections failed"),
    Figure("data_transferred_bytes", "data_transferred_bytes", _BYTES, "payload on the migration link"),
)
"""What is shown of every finished trial."""


class RunMetrics:
    """Progress of a run, which it passes on, as metrics. publish: takes all of them at every change."""

    def __init__(self, progress: Progress, publish: Callable[[Sequence[Metric]], None]) -> None:
        self._progress, self._publish = progress, publish
        self._planned = self._number = 0
        self._phase: str | None = None
        self._outcomes: Counter[tuple[str, str, str]] = Counter()
        self._unknown: Counter[tuple[str, str, str, str]] = Counter()
        self._histograms: dict[tuple[str, str, str], Histogram] = {}
        self._last: dict[tuple[str, str, str], float] = {}

    def step(self, text: str) -> None:
        self._progress.step(text)

    def waiting(self, text: str) -> None:
        self._progress.waiting(text)

    def plan(self, specs: Sequence[TrialSpec], finished: int, seconds_each: float) -> None:
        self._planned = len(specs)
        self._changed()
        self._progress.plan(specs, finished, seconds_each)

    def trial_begins(self, spec: TrialSpec) -> None:
        self._number, self._phase = spec.number, None
        self._changed()
        self._progress.trial_begins(spec)

    def phase(self, phase: str) -> None:
        """A phase of the trial, or in other words what is waited for in one."""
        if phase in PHASES:
            self._phase = phase
            self._changed()
        self._progress.phase(phase)

    def trial_ends(self, recording: Recording) -> None:
        self._phase = None
        self.count(recording)
        self._progress.trial_ends(recording)

    def count(self, recording: Recording) -> None:
        """Counts a finished trial; one whose recording is not what was written has no figures."""
        trial = recording.trial
        cell = trial.factors.scenario, trial.factors.policy
        try:
            measured = measure(recording)
        except Damaged:
            self._outcomes[*cell, DAMAGED] += 1
            self._changed()
            return
        self._outcomes[*cell, trial.status] += 1
        for figure in FIGURES:
            self._add(figure, cell, measured.get(figure.key))
        self._changed()

    def _add(self, figure: Figure, cell: tuple[str, str], measured: Measured | None) -> None:
        """A value that was cut off is a lower bound, which belongs into no bucket."""
        known = measured is not None and measured.value is not None
        cut_off = measured is not None and measured.at_least
        self._unknown[*cell, figure.name, "cut-off"] += int(cut_off)
        self._unknown[*cell, figure.name, "not-measured"] += int(not known)
        if measured is None or measured.value is None or cut_off:
            return
        key = (figure.key, *cell)
        self._histograms.setdefault(key, Histogram(figure.edges)).add(measured.value)
        self._last[key] = measured.value

    def _changed(self) -> None:
        self._publish([*self._of_trial(), *self._of_finished()])

    def _of_trial(self) -> list[Metric]:
        planned = GaugeMetricFamily("migrascope_trials_planned", "Trials of the run's plan.", self._planned)
        words = "The trial that runs, or ran last; 0: none yet."
        number = GaugeMetricFamily("migrascope_trial_number", words, self._number)
        words = "1 for the phase that the trial is in, 0 for the others."
        phase = GaugeMetricFamily("migrascope_trial_phase", words, labels=["phase"])
        for name in PHASES:
            phase.add_metric([name], float(name == self._phase))
        return [planned, number, phase]

    def _of_finished(self) -> list[Metric]:
        outcomes = CounterMetricFamily(
            "migrascope_migrations", "Finished trials by what became of them.", labels=[*CELL, "outcome"]
        )
        for labels, count in self._outcomes.items():
            outcomes.add_metric(labels, count)
        unknown = CounterMetricFamily(
            "migrascope_figures_unknown",
            "Figures of finished trials that are in no histogram, because they were not measured or were cut off.",
            labels=[*CELL, "figure", "reason"],
        )
        for unknown_labels, count in self._unknown.items():
            unknown.add_metric(unknown_labels, count)
        metrics: list[Metric] = [outcomes, unknown]
        for figure in FIGURES:
            family = HistogramMetricFamily(f"migrascope_{figure.name}", f"Trials: {figure.words}.", labels=CELL)
            last = GaugeMetricFamily(f"migrascope_last_{figure.name}", f"Last trial: {figure.words}.", labels=CELL)
            for (key, *cell), histogram in self._histograms.items():
                if key == figure.key:
                    histogram.into(family, cell)
                    last.add_metric(cell, self._last[key, cell[0], cell[1]])
            metrics += [family, last]
        return metrics
