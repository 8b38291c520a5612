"""Progress on standard error: what is being done, and when it will be over."""

import time

from rich.console import Console

from migrascope.model.schedule import TrialSpec
from migrascope.store.recording import Recording


class ConsoleProgress:
    """A line for each step and trial; on a terminal, the phase of the running trial as a status line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._total = self._finished = 0
        self._each_s = 0.0
        self._begin = self._trial_began = time.monotonic()
        self._done_here = 0
        self._title = ""

    def step(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False)

    def plan(self, trials: int, finished: int, seconds_each: float) -> None:
        self._total, self._finished, self._each_s = trials, finished, seconds_each
        self._begin = time.monotonic()
        done = f", {finished} of them finished before" if finished else ""
        self.step(f"{trials} trials{done}; about {_minutes((trials - finished) * seconds_each)}")

    def trial_begins(self, spec: TrialSpec) -> None:
        self._trial_began = time.monotonic()
        factors = spec.factors
        what = factors.scenario if factors.policy == "pre-copy" else f"{factors.scenario}, {factors.policy}"
        self._title = f"trial {spec.number}/{self._total} {what}, {spec.source} to {spec.destination}"
        if self._console.is_terminal:
            self._status.start()

    def phase(self, phase: str) -> None:
        if self._console.is_terminal:
            self._status.update(f"{self._title}: {phase} (about {_minutes(self._left_s())} to go)")

    def _left_s(self) -> float:
        each = (time.monotonic() - self._begin) / self._done_here if self._done_here else self._each_s
        return max(0.0, (self._total - self._finished) * each - (time.monotonic() - self._trial_began))

    def trial_ends(self, recording: Recording) -> None:
        self._finished += 1
        self._done_here += 1
        self._status.stop()
        trial = recording.trial
        took = time.monotonic() - self._trial_began
        outcome = "ok" if trial.status == "ok" else f"{trial.status}: {trial.reason}"
        left = self._total - self._finished
        eta = f", {_minutes(left * (time.monotonic() - self._begin) / self._done_here)} to go" if left else ""
        self._console.print(f"{self._title}: {outcome} ({took:.0f} s{eta})", highlight=False, markup=False)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
