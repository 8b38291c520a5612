"""Progress on standard error: what is being done, and when it will be over."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from migrascope.cli.console import visible
from migrascope.model.schedule import COMMAND, Factors, TrialSpec
from migrascope.model.units import number_of

if TYPE_CHECKING:
    from migrascope.store.recording import Recording

SPINNER = 2
"""Columns before the status line."""


class ConsoleProgress:
    """A line for each step and trial; on a terminal, what is waited for now as a status line, which is cut at the
    terminal's edge. hidden: whether something else has the terminal; lines are kept until it is given back."""

    def __init__(self, console: Console, hidden: Callable[[], bool] = lambda: False) -> None:
        self._console, self._hidden = console, hidden
        self._kept: list[tuple[str, str]] = []
        self._status = console.status("")
        self._least_s = math.inf
        self._total = self._finished = 0
        self._beside: list[Factors] = []
        self._each_s = 0.0
        self._begin = self._trial_began = time.monotonic()
        self._done_here = 0
        self._title = ""

    def step(self, text: str) -> None:
        self._line(text, "dim")

    def _line(self, text: str, style: str = "") -> None:
        self._status.stop()
        self._kept.append((text, style))
        if not self._hidden():
            self.give()

    def give(self) -> None:
        """Prints what was kept."""
        for text, style in self._kept:
            self._console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
        self._kept.clear()

    def waiting(self, text: str) -> None:
        """What is waited for before the first trial, or beside none."""
        if self._console.is_terminal and not self._hidden():
            self.give()
            line = Text(visible(text))
            line.truncate(self._console.width - SPINNER, overflow="ellipsis")
            self._status.update(line)
            self._status.start()

    def plan(self, specs: Sequence[TrialSpec], finished: int, seconds_each: float) -> None:
        self._total, self._finished, self._each_s = len(specs), finished, seconds_each
        self._beside = list({spec.factors: None for spec in specs})
        self._least_s = math.inf
        self._begin = time.monotonic()
        done = f", {finished} of them finished before" if finished else ""
        left_s = (self._total - finished) * seconds_each
        self.step(f"{number_of('trial', self._total)}{done}; about {_minutes(left_s)}")

    def trial_begins(self, spec: TrialSpec) -> None:
        self._trial_began = time.monotonic()
        self._title = f"trial {spec.number}/{self._total}"
        if spec.factors.policy != COMMAND:
            self._title += f" {spec.factors.label(self._beside)}"

    def phase(self, phase: str) -> None:
        self.waiting(f"{self._title}: {phase} (about {_minutes(self._left_s())} to go)")

    def _left_s(self) -> float:
        """Seconds to the end of the run; never more than was said before."""
        now = time.monotonic()
        each = (now - self._begin) / self._done_here if self._done_here else self._each_s
        left = max(0.0, (self._total - self._finished) * each - (now - self._trial_began))
        self._least_s = min(self._least_s, left)
        return self._least_s

    def trial_ends(self, recording: "Recording") -> None:
        self._finished += 1
        self._done_here += 1
        trial = recording.trial
        took = time.monotonic() - self._trial_began
        outcome = "ok" if trial.status == "ok" else f"{trial.status}: {trial.briefly}"
        left = self._total - self._finished
        self._trial_began = time.monotonic()
        eta = f", {_minutes(self._left_s())} to go" if left else ""
        # By the lab's own names of its hosts.
        way = "" if trial.factors.policy == COMMAND else f", {trial.source} to {trial.destination}"
        self._line(f"{self._title}{way}: {outcome} ({took:.0f} s{eta})")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
