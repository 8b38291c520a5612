"""What happened in a trial, in order: the names that events.ndjson uses."""

from dataclasses import dataclass, field
from typing import Any, Literal

Name = Literal[
    "trial_start",
    "phase",
    "migrate_request",
    "migrate_done",
    "migrate_failed",
    "recovered",
    "probes_stopping",
    "disturbance",
    "controller",
    "command",
    "note",
    "trial_end",
]
PHASES = ("arrange", "steady", "sample", "before", "migrate", "settle", "after", "drain", "collect")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: both clocks of the host that stamped it. A phase event has data {"phase": one of PHASES}."""

    name: Name
    mono_ns: int
    wall_ns: int
    host: str
    instance: str
    migration: str
    data: dict[str, Any] = field(default_factory=dict)
