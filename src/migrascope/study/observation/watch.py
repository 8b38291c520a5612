"""A run as one who watches it sees it: beside it while it runs, or replayed afterwards."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from migrascope.live.experience import Known, Past, known
from migrascope.live.recorded import past_of
from migrascope.live.replay import Replay
from migrascope.live.seen import TABLES, Seen
from migrascope.live.terms import terms_of
from migrascope.live.view import View
from migrascope.metrics import migration
from migrascope.metrics.windows import windows_of
from migrascope.model.clock import mono_ns
from migrascope.model.measured import Measured
from migrascope.model.problem import Problem
from migrascope.model.schedule import COMMAND, Factors, TrialSpec, schedule
from migrascope.node.lock import holder
from migrascope.store.following import TrialFollower
from migrascope.store.recording import DAMAGED, Recording
from migrascope.store.runfolder import LOCK, RunError, RunFolder

QUIET_S = 5.0
"""A trial that has written nothing for so long is told to be silent: every probe writes several times a second."""
ABANDONED_NS = 3_000_000_000
"""A run that nobody has written for so long is over, whatever it lacks."""
_LEARNT_PER_LOOK = 2
"""Finished trials that are read at one look, so that none takes long."""


@dataclass(frozen=True)
class Finished:
    """A sealed trial in a line. time_s, pause_s and rounds as measured, None where its recording is damaged."""

    number: int
    factors: Factors
    status: str
    reason: str | None
    time_s: Measured | None
    pause_s: Measured | None
    rounds: Measured | None


@dataclass(frozen=True)
class Status:
    """A run at a moment. spec, view: of the trial that is looked at, None where there is none. finished: the sealed
    trials that were read so far, of sealed. writer: the process that writes the run, None where none does. over:
    nothing more will come. replayed: the moment is one of the past."""

    run: str
    plan: str
    trials: tuple[TrialSpec, ...]
    sealed: int
    finished: tuple[Finished, ...]
    spec: TrialSpec | None = None
    view: View | None = None
    writer: str | None = None
    over: bool = False
    replayed: bool = False

    @property
    def killed(self) -> bool:
        """Whether it has trials to come that nobody runs."""
        return not self.replayed and self.writer is None and self.sealed < len(self.trials)


class Watch(Protocol):
    """What is looked at, again and again."""

    def look(self) -> Status: ...


class _Trials:
    """What both ways of watching share: the run's plan, and what its finished trials tell."""

    def __init__(self, run: RunFolder) -> None:
        self.run, self.plan = run, run.plan()
        self.specs = {spec.number: spec for spec in schedule(self.plan)}
        self._read: dict[int, Finished] = {}
        self._pasts: dict[int, Past] = {}

    def learn(self, before: int) -> None:
        """Reads some of the sealed trials that were not read yet: those before that number first, the newest first."""
        left = sorted(self.sealed() - self._read.keys(), key=lambda number: (number >= before, -number))
        for number in left[:_LEARNT_PER_LOOK]:
            spec = self.specs[number]
            try:
                recording = Recording(self.run.trial(number))
                found = migration.measure(recording, windows_of(recording))
                past = past_of(recording, found["migration_time_s"].value)
            except (Problem, OSError, ValueError) as error:
                self._read[number] = Finished(number, spec.factors, DAMAGED, str(error), None, None, None)
                continue
            trial = recording.trial
            values = (found[key] for key in ("migration_time_s", "vm_pause_s", "rounds"))
            self._read[number] = Finished(number, trial.factors, trial.status, trial.briefly, *values)
            if past is not None:
                self._pasts[number] = past

    def sealed(self) -> set[int]:
        """Numbers of the sealed trials that are the plan's."""
        return self.run.finished() & self.specs.keys()

    def seen(self, number: int) -> Seen:
        """Of a trial nothing yet. It learns from those before it that were read by then."""
        factors = self.specs[number].factors

        def learnt(resident: int | None) -> Known:
            return known(factors, [past for earlier, past in sorted(self._pasts.items()) if earlier < number], resident)

        visitors = self.plan.visitors
        buffer_s = visitors.file_buffer if factors.scenario == "offline" else visitors.live_buffer
        return Seen(
            number,
            terms_of(self.plan, factors),
            learnt,
            buffer_s,
            alone=factors.instances == 1 and factors.policy != COMMAND,
        )

    def status(
        self, number: int | None, view: View | None, writer: str | None, *, over: bool, replayed: bool
    ) -> Status:
        """The run around a view."""
        return Status(
            self.run.id, self.plan.name, tuple(self.specs.values()), len(self.sealed()),
            tuple(finished for _, finished in sorted(self._read.items())), self.specs.get(number or 0), view, writer,
            over, replayed,
        )  # fmt: skip


class Beside:
    """A run that is being written, by the clock of this machine. It takes no lock, and writes nothing."""

    def __init__(self, run: RunFolder, now: Callable[[], int] = mono_ns) -> None:
        self._trials, self._now = _Trials(run), now
        self._follower: TrialFollower | None = None
        self._seen: Seen | None = None
        self._written_ns = now()

    def look(self) -> Status:
        """The run now."""
        trials = self._trials
        writer = holder(trials.run.path / LOCK)
        if writer is not None:
            self._written_ns = self._now()
        number = trials.run.running()
        trials.learn(before=number or len(trials.specs) + 1)
        if number is not None and number in trials.specs and (self._seen is None or self._seen.number != number):
            self._follower, self._seen = TrialFollower(trials.run.path, number, TABLES), trials.seen(number)
        view = None
        if self._follower is not None and self._seen is not None:
            self._seen.take(self._follower.news())
            # of a run that was killed the clock stands where its last row was written
            view = self._seen.view(self._now() if writer is not None else self._seen.newest_ns)
        # a run that has just made its folder takes its lock a moment later
        abandoned = self._now() - self._written_ns >= ABANDONED_NS
        over = writer is None and (abandoned or trials.sealed() == trials.specs.keys())
        return trials.status(self._follower.number if self._follower else None, view, writer, over=over, replayed=False)


class Afterwards:
    """A sealed trial of a run, replayed. Its own clock runs `speed` times as fast as that of this machine."""

    def __init__(
        self, run: RunFolder, number: int | None = None, speed: float = 1.0, now: Callable[[], int] = mono_ns
    ) -> None:
        """number: None for the newest trial. RunError where it is not sealed."""
        self._trials, self._now, self.speed = _Trials(run), now, speed
        sealed = sorted(self._trials.sealed())
        if not sealed:
            raise RunError(f"{run.path} has no finished trial to replay; migrascope run --resume {run.id} runs them")
        if number is not None and number not in sealed:
            raise RunError(f"{run.path} has no finished trial {number}; there are: {', '.join(map(str, sealed))}")
        self._sealed = sealed
        self._open(number if number is not None else sealed[-1])

    def _open(self, number: int) -> None:
        news = TrialFollower(self._trials.run.path, number, TABLES).news()
        self._replay, self._seen = Replay(news), self._trials.seen(number)
        self._at_ns, self._looked_ns, self.paused = self._replay.begin_ns, self._now(), False

    def step(self, by: int) -> None:
        """Goes to the next trial (1), or the one before (-1), as far as there is one."""
        at = self._sealed.index(self._seen.number) + by
        if 0 <= at < len(self._sealed):
            self._open(self._sealed[at])

    def to_end(self) -> None:
        """Goes to the last moment."""
        self._at_ns = self._replay.end_ns

    def look(self) -> Status:
        """The run at the replay's clock."""
        self._trials.learn(before=self._seen.number)
        now_ns = self._now()
        if not self.paused:
            self._at_ns = min(self._replay.end_ns, self._at_ns + round((now_ns - self._looked_ns) * self.speed))
        self._looked_ns = now_ns
        self._seen.take(self._replay.news(self._at_ns))
        over = self._at_ns >= self._replay.end_ns
        return self._trials.status(self._seen.number, self._seen.view(self._at_ns), None, over=over, replayed=True)


def watch_of(run: RunFolder, number: int | None = None, speed: float = 1.0) -> Beside | Afterwards:
    """Beside a run that somebody writes, or that was killed in a trial, unless a trial is named; else its replay."""
    if number is None and (run.running() is not None or holder(run.path / LOCK) is not None):
        return Beside(run)
    return Afterwards(run, number, speed)
