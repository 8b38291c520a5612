"""Disturbances: what a plan does to a trial beside migrating. Each is a table [[disturbance]] with a name."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from migrascope.model.policy import Policy
from migrascope.model.quantity import ByteRate, Duration, Part, Rate, Size

NONE = "none"
"""The name on the axis that stands for an undisturbed trial."""
PHASES = ("setup", "first-copy", "switchover", "post-copy", "finish")
"""Phases by name; round:N is one too."""
LATE_S = 0.02
"""A disturbance aimed at a phase that takes effect later than this after its due time has missed."""
HOST_SIDES = ("source", "destination")
GUEST_DISK_BYTES = 192 * 2**20
"""The largest file of load that the guest's volume has room for."""
_ROUND = re.compile(r"round:([0-9]{1,3})")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
KindName = Literal[
    "link-down", "link-rate", "traffic", "qemu-kill", "qemu-freeze", "host-cpu", "abort", "second-migration",
    "guest-memory", "guest-cpu", "guest-disk-write", "guest-disk-read",
]  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What a kind of disturbance can be told. targets: empty: it takes none. needs and takes: keys of its dose that
    must be there, and that may. instant: it has no duration. in_guest: it is steered through the guest, far too slowly
    for a phase."""

    ability: str
    targets: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    instant: bool = False

    @property
    def in_guest(self) -> bool:
        return self.ability == "stress in the guest"

    def phases(self) -> tuple[str, ...]:
        """The phases at which it can be aimed."""
        return () if self.in_guest else (*PHASES[:2], "round:N", *PHASES[2:])


KINDS: dict[str, Kind] = {
    "link-down": Kind("failure of a link", ("migration", "storage", "tenant", "external"), takes=("way",)),
    "link-rate": Kind("stress on a link", ("migration", "storage"), ("rate",)),
    "traffic": Kind("stress on a link", ("migration", "storage"), ("rate",)),
    "qemu-kill": Kind("failure of a process", HOST_SIDES, instant=True),
    "qemu-freeze": Kind("failure of a process", HOST_SIDES),
    "host-cpu": Kind("stress on a host", HOST_SIDES, ("workers",)),
    "abort": Kind("an operator's command", instant=True),
    "second-migration": Kind("an operator's command", instant=True),
    "guest-memory": Kind("stress in the guest", needs=("write_rate", "working_set"), takes=("pattern",)),
    "guest-cpu": Kind("stress in the guest", needs=("workers",)),
    "guest-disk-write": Kind("stress in the guest", needs=("write_rate", "working_set"), takes=("sync",)),
    "guest-disk-read": Kind("stress in the guest", needs=("write_rate", "working_set")),
}
_DOSES = ("rate", "write_rate", "working_set", "workers", "pattern", "way", "sync")


def round_of(phase: str) -> int | None:
    """N of round:N."""
    match = _ROUND.fullmatch(phase)
    return int(match[1]) if match else None


class Disturbance(Part):
    """One disturbance. when: "trial", from before the steady state to the end; "window", `offset` after the observed
    window before the migration has begun; or a phase of the migration, `offset` after its event. duration: how long.
    rate: of a link or its competing traffic; write_rate: of load in the guest. way: which direction of a link is down,
    by the host that sends. sync: each block is on the volume before the next."""

    name: Name
    kind: KindName
    target: str = ""
    when: str = "trial"
    offset: Duration = 0.0
    duration: Duration | None = None
    rate: Rate | None = None
    write_rate: ByteRate | None = None
    working_set: Size | None = None
    pattern: Literal["random", "sequential", "hot", "few"] | None = None
    workers: int | None = Field(None, ge=1, le=16)
    way: Literal["both", "from-source", "from-destination"] | None = None
    sync: bool | None = None

    @property
    def phase(self) -> str | None:
        """The phase at which it is aimed, if it is."""
        return None if self.when in ("trial", "window") else self.when

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for problem in (self._aim(), self._dose(), self._limits()):
            if problem:
                raise ValueError(f"{self.name}: {problem}")
        return self

    def _aim(self) -> str | None:
        kind = KINDS[self.kind]
        if kind.targets and self.target not in kind.targets:
            return f"target {self.target!r} is not known to {self.kind}: one of {', '.join(kind.targets)}"
        if not kind.targets and self.target:
            return f"{self.kind} takes no target"
        if self.name == NONE:
            return "this name stands for no disturbance"
        if self.phase and self.phase not in PHASES and round_of(self.phase) is None:
            return f"when {self.when!r} is not known: trial, window, {', '.join(PHASES)} or round:N"
        if self.phase and (round_of(self.phase) or 2) < 2:
            return "when round:1 is written first-copy; rounds are counted from 2"
        if self.phase and kind.in_guest:
            return f"{self.kind} begins too slowly for a phase: when is trial or window"
        if self.when == "trial" and self.offset:
            return "offset: the whole trial has none; write when = 'window' or a phase"
        if kind.instant and self.when == "trial":
            return f"{self.kind} happens at a moment: when is window or a phase"
        if self.kind in ("abort", "second-migration") and self.when == "window":
            return f"{self.kind} needs a migration: when is a phase"
        if kind.instant and self.duration is not None:
            return f"{self.kind} has no duration"
        if not kind.instant and self.when != "trial" and self.duration is None:
            return "duration is missing: how long, as in '2s'"
        return "duration: the whole trial has none" if self.when == "trial" and self.duration is not None else None

    def _dose(self) -> str | None:
        kind = KINDS[self.kind]
        missing = [key for key in kind.needs if getattr(self, key) is None]
        if missing:
            return f"{self.kind} needs {', '.join(missing)}"
        odd = [key for key in _DOSES if getattr(self, key) is not None and key not in (*kind.needs, *kind.takes)]
        return f"{self.kind} takes no {', '.join(odd)}" if odd else None

    def _limits(self) -> str | None:
        if self.duration is not None and not 0.01 <= self.duration <= 600:
            return "duration: 10ms to 10min"
        if self.rate is not None and not 1e5 <= self.rate <= 1e11:
            return "rate: 100kbit to 100gbit"
        if self.write_rate is not None and not 4096 <= self.write_rate <= 1e11:
            return "write_rate: 4096B/s to 100GB/s"
        if self.working_set is not None and self.working_set < 2**20:
            return "working_set: 1MiB at least"
        if self.kind.startswith("guest-disk") and (self.working_set or 0) > GUEST_DISK_BYTES:
            return "working_set: the guest's volume has room for 192MiB"
        if self.way not in (None, "both") and self.target != "migration":
            return "way: only the migration link can be down in one direction"
        return None

    def refused_by(self, policy: Policy) -> str | None:
        """Why a policy never comes to its phase, or None."""
        if self.phase == "post-copy" and policy.post_copy is None:
            return "the policy has no phase post-copy"
        if self.phase == "switchover" and policy.pause is not None:
            return "the policy stops the guest before its switchover"
        return None

    @property
    def guest_bytes(self) -> int:
        """The guest's memory that it holds."""
        return (self.working_set or 0) if self.kind == "guest-memory" else 0
