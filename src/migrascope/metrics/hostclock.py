"""Clocks of other machines: what a stamp of theirs is on this machine's clock, and how far that may be off."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrascope.store.recording import Recording

TABLE = "host_clock"
DRIFT = 1e-3
"""Two clocks may drift apart by so much: Linux lets NTP change the rate of each by 500 ppm (MAXFREQ, timex.h)."""
STAMP_NS = 1000
"""QEMU stamps in whole us."""


@dataclass(frozen=True)
class Reading:
    """wall_ns: what a host's clock said at some moment from asked_ns to answered_ns, mono ns here."""

    asked_ns: int
    answered_ns: int
    wall_ns: int

    @property
    def offset_ns(self) -> float:
        """The host's wall clock minus our monotonic one, in the middle of the bracket."""
        return self.wall_ns - (self.asked_ns + self.answered_ns) / 2

    @property
    def bound_ns(self) -> float:
        """Half of the bracket and what the stamp leaves out."""
        return (self.answered_ns - self.asked_ns) / 2 + STAMP_NS


@dataclass(frozen=True)
class HostClock:
    """readings: at least one, by time."""

    readings: tuple[Reading, ...]

    def to_mono(self, wall_ns: int) -> tuple[int, int]:
        """(mono ns of a stamp of that host, how far it may be off), by the reading that bounds it best."""

        def bound_ns(reading: Reading) -> float:
            return reading.bound_ns + DRIFT * abs(wall_ns - reading.wall_ns)

        best = min(self.readings, key=bound_ns)
        return round(wall_ns - best.offset_ns), round(bound_ns(best))

    def step_ns(self) -> float:
        """By how much two readings contradict each other at least: the clock was set between them. 0 where none do."""
        worst = 0.0
        for at, late in enumerate(self.readings):
            for early in self.readings[:at]:
                apart = abs(late.offset_ns - early.offset_ns)
                allowed = late.bound_ns + early.bound_ns + DRIFT * (late.answered_ns - early.asked_ns)
                worst = max(worst, apart - allowed)
        return worst


def host_clocks(recording: "Recording") -> dict[str, HostClock]:
    """Of each host whose clock was read."""
    columns = ("host", "asked_ns", "answered_ns", "wall_ns")
    found: dict[str, list[Reading]] = {}
    for host, *stamps in recording.table(TABLE).sort("asked_ns").select(columns).rows():
        found.setdefault(host, []).append(Reading(*stamps))
    return {host: HostClock(tuple(readings)) for host, readings in found.items()}
