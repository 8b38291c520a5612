"""Disturbances: what a plan does to a trial beside migrating. Each is a table [[disturbance]] with a name."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from migrascope.model.kinds import KINDS
from migrascope.model.kinds.kind import ACCEPTED, OPERATOR, PHASES, STORAGE_COPY, Kind, Side, Way
from migrascope.model.name import Name
from migrascope.model.policy import Policy
from migrascope.model.quantity import ByteRate, Duration, Part, Rate, Share, Size

NONE = "none"
"""The name on the axis that stands for an undisturbed trial."""
LATE_S = {"qemu": 0.02, "libvirt": 0.05, "openstack": 1.0}
"""By lab: a disturbance aimed at a phase that takes effect later than this after its due time has missed. Of libvirt:
what 95 % of 20 recorded ones kept (46 ms; docs/measured.md), of which libvirt's events are 9 ms at most on a machine
without other work, and the end of all of a host's processes the rest."""
_ROUND = re.compile(r"round:([0-9]{1,3})")


def _known(value: object) -> object:
    if isinstance(value, str) and value in KINDS:
        return value
    *others, last = (f"'{name}'" for name in KINDS)
    raise PydanticCustomError("literal_error", "not a kind", {"expected": f"{', '.join(others)} or {last}"})


KindName = Annotated[str, BeforeValidator(_known), WithJsonSchema({"type": "string", "enum": list(KINDS)})]
_DOSES = ("rate", "write_rate", "working_set", "workers", "pattern", "way", "sync", "service", "loss", "delay", "host")


def round_of(phase: str) -> int | None:
    """N of round:N."""
    match = _ROUND.fullmatch(phase)
    return int(match[1]) if match else None


class Disturbance(Part):
    """One disturbance. when: "trial", from before the steady state to the end; "window", `offset` after the observed
    window before the migration has begun; or a phase of the migration, `offset` after its event. duration: how long.
    rate: of a link or its competing traffic; write_rate: of load in the guest, or on a store. way: which direction of a
    link is disturbed, by the host that sends. sync: each block is on the volume before the next. service: one of those
    in kinds/services.py. loss, delay: of each frame, in each direction. hold: the switchover waits until it has taken
    effect. host: which host alone is cut off a link."""

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
    way: Way | None = None
    sync: bool | None = None
    service: str | None = None
    loss: Share | None = None
    delay: Duration | None = None
    hold: bool = False
    host: Side | None = None

    @property
    def made(self) -> Kind:
        """What there is to know of its kind."""
        return KINDS[self.kind]

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
        kind = self.made
        known = kind.targets_of("openstack")
        if known and self.target not in known:
            return f"target {self.target!r} is not known to {self.kind}: one of {', '.join(known)}"
        if not kind.targets and self.target:
            return f"{self.kind} takes no target"
        if self.name == NONE:
            return "this name stands for no disturbance"
        phases = (ACCEPTED, STORAGE_COPY, *PHASES)
        if self.phase and self.phase not in phases and round_of(self.phase) is None:
            return f"when {self.when!r} is not known: trial, window, {', '.join(phases)} or round:N"
        if self.phase and (round_of(self.phase) or 2) < 2:
            return "when round:1 is written first-copy; rounds are counted from 2"
        if self.phase and kind.in_guest:
            return f"{self.kind} begins too slowly for a phase: when is trial or window"
        if self.when == "trial" and self.offset:
            return "offset: the whole trial has none; write when = 'window' or a phase"
        if kind.instant and self.when == "trial":
            return f"{self.kind} happens at a moment: when is window or a phase"
        if kind.ability == OPERATOR and self.when == "window":
            return f"{self.kind} needs a migration: when is a phase"
        if kind.instant and self.duration is not None:
            return f"{self.kind} has no duration"
        if not kind.instant and self.when != "trial" and self.duration is None:
            return "duration is missing: how long, as in '2s'"
        if self.hold and self.when != "switchover":
            return "hold: only the switchover can be held"
        return "duration: the whole trial has none" if self.when == "trial" and self.duration is not None else None

    def _dose(self) -> str | None:
        kind = self.made
        missing = [key for key in kind.needs if getattr(self, key) is None]
        if missing:
            return f"{self.kind} needs {', '.join(missing)}"
        odd = [key for key in _DOSES if getattr(self, key) is not None and key not in (*kind.needs, *kind.takes)]
        if odd:
            return f"{self.kind} takes no {', '.join(odd)}"
        return None

    def _limits(self) -> str | None:
        if self.duration is not None and not 0.01 <= self.duration <= 600:
            return "duration: 10ms to 10min"
        if self.rate is not None and not 1e5 <= self.rate <= 1e11:
            return "rate: 100kbit to 100gbit"
        if self.write_rate is not None and not 4096 <= self.write_rate <= 1e11:
            return "write_rate: 4096B/s to 100GB/s"
        if self.working_set is not None and self.working_set < 2**20:
            return "working_set: 1MiB at least"
        if self.loss is not None and not 0.0001 <= self.loss <= 0.9:
            return "loss: 0.01% to 90%; link-down loses all"
        if self.delay is not None and not 0.001 <= self.delay <= 1:
            return "delay: 1ms to 1s"
        return self.made.problem(self)

    def refused_by(self, policy: Policy) -> str | None:
        """Why a policy never comes to its phase, or None."""
        if self.phase == "post-copy" and policy.post_copy is None:
            return "the policy has no phase post-copy"
        if self.phase == "switchover" and policy.pause is not None:
            return "the policy stops the guest before its switchover"
        return None

    def refused_on(self, lab: str) -> str | None:
        """Why a lab does not have it, or None."""
        kind = self.made
        if lab not in kind.labs:
            return f"the lab {lab} has no {self.kind}, only {' and '.join(kind.labs)} has"
        if kind.targets and self.target not in kind.targets_of(lab):
            return (
                f"the lab {lab} has no target {self.target} for {self.kind}: one of {', '.join(kind.targets_of(lab))}"
            )
        if words := kind.refused_on(self, lab):
            return words
        if self.hold and lab != "qemu":
            return f"hold: the lab {lab} cannot hold the switchover"
        if self.phase == ACCEPTED and lab != "openstack":
            return f"the lab {lab} has no phase {ACCEPTED}: nobody accepts a request there"
        return None
