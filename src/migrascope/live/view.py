"""What a trial looks like at a moment: one frozen value, from what has been seen until then."""

from dataclasses import dataclass

from migrascope.live.eta import Forecast
from migrascope.live.sample import Sample

WAITS_FOR = {
    "arrange": "the guest to boot",
    "steady": "a steady state",
    "sample": "samples of what the guest holds and dirties",
    "before": "the end of the window before the migration",
    "migrate": "the end of the migration",
    "settle": "500 ms without a lost probe",
    "after": "the end of the window after the migration",
    "drain": "answers that are still under way",
    "collect": "the probes' last rows and the volume",
}
"""What is being waited for in each phase."""


@dataclass(frozen=True)
class Second:
    """What was asked within one second, by when it was sent. lost: asked so long ago that an answer should be here, and
    none is, or it failed. typical_s: the median time to an answer, None without one."""

    at_ns: int
    asked: int
    lost: int
    typical_s: float | None


@dataclass(frozen=True)
class Buffer:
    """A viewer's player by the model of player stall: level_s of holds_s left; 0 while it stands still."""

    viewer: str
    level_s: float
    holds_s: float


@dataclass(frozen=True)
class Migration:
    """A migration from its request on. at_s: seconds since then, to its end where it has one. sample: the newest
    counts; None before there are any. limit_s: the downtime limit in force. link_Bps: on the migration link now, None
    where nobody counts. paused_s: how long the guest has stood still, None before it does; moved: whether it runs at
    the destination. outcome: empty while it runs, else "completed", or why it failed."""

    source: str
    destination: str
    at_s: float
    sample: Sample | None
    forecast: Forecast
    limit_s: float
    link_Bps: float | None = None
    paused_s: float | None = None
    moved: bool = False
    outcome: str = ""


@dataclass(frozen=True)
class View:
    """One trial at now_ns (monotonic). phase: empty before the first. phase_s: how long it lasts. quiet_s: how long
    nothing new has been written. pings and visits: the last minute by seconds, the newest last; visits by kind. over:
    how the trial ended, empty while it runs. broken: files that cannot be read."""

    number: int
    now_ns: int
    phase: str = ""
    phase_s: float = 0.0
    quiet_s: float = 0.0
    pings: tuple[Second, ...] = ()
    visits: tuple[tuple[str, tuple[Second, ...]], ...] = ()
    buffers: tuple[Buffer, ...] = ()
    migration: Migration | None = None
    over: str = ""
    broken: tuple[str, ...] = ()

    @property
    def waits_for(self) -> str:
        """What is being waited for; empty when the trial is over."""
        return "" if self.over else WAITS_FOR.get(self.phase, "the trial to begin")
