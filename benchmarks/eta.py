"""How well the end of a migration is foretold: every finished trial of runs, replayed sample by sample.

    .venv/bin/python benchmarks/eta.py RUN...

RUN is a run folder, or names one in runs/ as everywhere: of the plans that are hard to foretell, for example, with

    ./migrascope run policies && ./migrascope run examples/stress.toml
    .venv/bin/python benchmarks/eta.py -2 -1

A trial knows what the trials before it in its run told, and nothing later. From half-time on each forecast is held
against the time that the migration took, from its request to a guest that runs at the destination and needs nothing
more from the source; the error is a share of that whole time, not of what was left of it. A forecast without an end is
infinitely far off. The trial counts by its worst one. Goals: within 10 % in 90 % of the trials; 5 % at most of those
that completed were ever said not to. Covered: the share of the forecasts with an end whose interval holds the true one;
an interval that is open to above holds every later end. Wide: the median width of the others, as a share of the whole
time.
"""

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from common import machine, verdict
from migrascope.live.eta import Forecast, at_request
from migrascope.live.experience import Past, known
from migrascope.live.recorded import before_of, limited, past_of, resident_of, samples_of
from migrascope.live.terms import terms_of
from migrascope.metrics.windows import windows_of
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder, find_run

WITHIN, WITHIN_GOAL = 0.10, 0.90
FALSE_GOAL = 0.05


@dataclass(frozen=True)
class Score:
    """One trial. took_s: how long its migration took, None where it did not complete. said: the forecasts by time, the
    one at the request first."""

    number: int
    factors: Factors
    took_s: float | None
    said: tuple[Forecast, ...]

    @property
    def judged(self) -> list[Forecast]:
        """The forecasts from half-time on: the one that stood then, and those after it."""
        assert self.took_s is not None
        before = [forecast for forecast in self.said if forecast.at_s <= self.took_s / 2]
        return [*before[-1:], *(forecast for forecast in self.said if self.took_s / 2 < forecast.at_s < self.took_s)]

    @property
    def errors(self) -> list[float]:
        """Of those with an end, how far it is off as a share of the whole time, with its sign; inf of the others."""
        assert self.took_s is not None
        return [
            (forecast.end_s - self.took_s) / self.took_s if forecast.end_s is not None else float("inf")
            for forecast in self.judged
        ]

    @property
    def worst(self) -> float:
        return max(map(abs, self.errors))

    @property
    def covered(self) -> list[bool]:
        """Of those with an interval, whether it holds the end."""
        took = self.took_s
        assert took is not None
        return [
            forecast.low_s <= took and (forecast.high_s is None or forecast.high_s >= took)
            for forecast in self.judged
            if forecast.low_s is not None and forecast.end_s is not None
        ]

    @property
    def widths(self) -> list[float]:
        """Of those with an interval that is not open, its width as a share of the whole time."""
        took = self.took_s
        assert took is not None
        return [
            (forecast.high_s - forecast.low_s) / took
            for forecast in self.judged
            if forecast.end_s is not None and forecast.low_s is not None and forecast.high_s is not None
        ]

    @property
    def denied(self) -> bool:
        """Whether it was ever said that it would not end by itself."""
        return any(forecast.verdict in ("never", "late") for forecast in self.said)


def scores(run: RunFolder) -> Iterator[Score]:
    """Every trial whose migration was followed, in running order."""
    plan, pasts = run.plan(), list[Past]()
    for recording in run.recordings():
        if samples := samples_of(recording):
            factors = recording.trial.factors
            planned, before = terms_of(plan, factors), before_of(recording)
            terms = limited(before.terms(planned), recording)
            learnt = before.known(known(factors, pasts, resident_of(recording)), planned)
            said = [at_request(terms, learnt)]
            for sample in samples:
                said.append(said[-1].then(sample, terms, learnt))
            yield Score(recording.trial.number, factors, _took(recording), tuple(said))
        if (past := past_of(recording, _took(recording))) is not None:
            pasts.append(past)


def _took(recording: Recording) -> float | None:
    windows = windows_of(recording)
    if windows.complete is None or windows.request is None:
        return None
    return (windows.complete - windows.request) / 1e9


def backwards(said: Sequence[Forecast]) -> int:
    """How often the end moved later without a reason: never."""
    ends = [(old.end_s, new.end_s, new.why) for old, new in pairwise(said)]
    return sum(new is not None and old is not None and new > old and not why for old, new, why in ends)


def table(found: Sequence[Score]) -> str:
    """A line for each cell, then the goals."""
    lines = [
        f"{'trials':>6}  {'within 10 %':>11}  {'worst, median':>13}  {'covered':>7}  {'wide':>5}  {'denied':>6}  cell"
    ]
    beside = list(dict.fromkeys(score.factors for score in found))
    for factors in beside:
        lines.append(_line([score for score in found if score.factors == factors], factors.label(beside)))
    done, not_done = (
        [score for score in found if score.took_s is not None],
        [score for score in found if score.took_s is None],
    )
    lines.append(_line(list(found), "all"))
    if done:
        within = sum(score.worst <= WITHIN for score in done) / len(done)
        denied = sum(score.denied for score in done) / len(done)
        goal = verdict(within >= WITHIN_GOAL)
        lines.append(f"within 10 % from half-time on: {within:.0%} of {len(done)} trials, goal 90 %: {goal}")
        lines.append(f"said not to end, and did: {denied:.0%}, goal 5 %: {verdict(denied <= FALSE_GOAL)}")
        lines.append(_coverage(done))
    lines.append(
        f"did not complete: {len(not_done)}, of which that was said of {sum(score.denied for score in not_done)}"
    )
    lines.append(f"moved later without a reason: {sum(backwards(score.said) for score in found)} times")
    return "\n".join(lines)


def _coverage(done: list[Score]) -> str:
    """How often the interval held the end, how wide it was as a share of the whole time, and how often it was open."""
    covered = [item for score in done for item in score.covered]
    widths = [width for score in done for width in score.widths]
    if not widths:
        return "no interval was said"
    return (
        f"the interval held the end in {sum(covered) / len(covered):.0%} of {len(covered)} forecasts; it was "
        f"{statistics.median(widths):.0%} of the whole time wide in the median, and open in "
        f"{len(covered) - len(widths)}"
    )


def _line(found: list[Score], name: str) -> str:
    done = [score for score in found if score.took_s is not None]
    covered = [item for score in done for item in score.covered]
    widths = [width for score in done for width in score.widths]
    cells = [
        f"{len(found):6}",
        f"{sum(score.worst <= WITHIN for score in done):>5} of {len(done):<2}",
        f"{statistics.median(score.worst for score in done):13.1%}" if done else f"{'—':>13}",
        f"{sum(covered) / len(covered):7.0%}" if covered else f"{'—':>7}",
        f"{statistics.median(widths):5.0%}" if widths else f"{'—':>5}",
        f"{sum(score.denied for score in found):6}",
    ]
    return f"{cells[0]}  {cells[1]:>11}  {'  '.join(cells[2:])}  {name}"


def main() -> None:
    if not sys.argv[1:]:
        sys.exit(__doc__)
    for name in sys.argv[1:]:
        try:
            run = find_run(Path("runs"), name)
            found = list(scores(run))
        except Problem as error:
            sys.exit(f"{name}: {error}")
        print(f"{run.id}, plan {run.manifest.get('plan')}: {machine(run.manifest)}")
        print(table(found) if found else "no trial of it has rounds that were recorded")


if __name__ == "__main__":
    main()
