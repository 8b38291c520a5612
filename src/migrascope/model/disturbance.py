"""Disturbances: what a plan does to a trial beside migrating. Each is a table [[disturbance]] with a name."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from migrascope.model.name import Name
from migrascope.model.policy import Policy
from migrascope.model.quantity import ByteRate, Duration, Part, Rate, Share, Size

NONE = "none"
"""The name on the axis that stands for an undisturbed trial."""
HOST_SIDES = ("source", "destination")
PHASES = ("setup", "first-copy", "switchover", "post-copy", "finish")
"""Phases by name; round:N is one too."""
ACCEPTED = "accepted"
"""The phase before all others where an API is asked: it has taken the request."""
LATE_S = {"qemu": 0.02, "openstack": 1.0}
"""By lab: a disturbance aimed at a phase that takes effect later than this after its due time has missed."""
SERVICES = {
    "libvirt": HOST_SIDES, "nova-compute": HOST_SIDES, "l2-agent": HOST_SIDES, "ceph-osd": HOST_SIDES,
    "rabbitmq": ("controller",), "database": ("controller",), "ceph-mon": ("controller",),
}  # fmt: skip
"""Services of OpenStack by name, and the targets on which each runs."""
GUEST_DISK_BYTES = 192 * 2**20
"""The largest file of load that the guest's volume has room for."""
STORE_BYTES = 4 * 2**30
"""The most that load on a store, or its recovery, writes there."""
BLOCK_BYTES = 2**16
"""What load on a store writes at once."""
_ROUND = re.compile(r"round:([0-9]{1,3})")
KindName = Literal[
    "link-down", "link-rate", "traffic", "qemu-kill", "qemu-freeze", "host-cpu", "abort", "second-migration",
    "link-loss", "link-delay", "no-memory", "no-space", "host-memory", "guest-network",
    "guest-memory", "guest-cpu", "guest-disk-write", "guest-disk-read",
    "service-kill", "service-down", "node-off", "force-complete", "storage-load", "ceph-recovery",
]  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What a kind of disturbance can be told. targets: empty: it takes none. needs and takes: keys of its dose that
    must be there, and that may. instant: it has no duration. labs: which have it; beside: targets that only the lab
    openstack has. in_guest: it is steered through the guest, far too slowly for a phase."""

    ability: str
    targets: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    instant: bool = False
    labs: tuple[str, ...] = ("qemu",)
    beside: tuple[str, ...] = ()

    @property
    def in_guest(self) -> bool:
        return self.ability == "stress in the guest"

    def phases(self, lab: str = "qemu") -> tuple[str, ...]:
        """The phases at which it can be aimed."""
        first = (ACCEPTED,) if lab == "openstack" else ()
        return () if self.in_guest else (*first, *PHASES[:2], "round:N", *PHASES[2:])

    def targets_of(self, lab: str) -> tuple[str, ...]:
        """What it can be aimed at on a lab."""
        return (*self.targets, *self.beside) if lab == "openstack" else self.targets


BOTH, CLOUD = ("qemu", "openstack"), ("openstack",)
LINKS = ("migration", "storage", "tenant", "external")
KINDS: dict[str, Kind] = {
    "link-down": Kind("failure of a link", LINKS, takes=("way", "host"), labs=BOTH, beside=("management",)),
    "link-rate": Kind("stress on a link", LINKS, ("rate",), labs=BOTH),
    "link-loss": Kind("stress on a link", LINKS, ("loss",), ("way", "host")),
    "link-delay": Kind("stress on a link", LINKS, ("delay",), ("way", "host")),
    "traffic": Kind("stress on a link", ("migration", "storage"), ("rate",), labs=BOTH),
    "qemu-kill": Kind("failure of a process", HOST_SIDES, instant=True, labs=BOTH),
    "qemu-freeze": Kind("failure of a process", HOST_SIDES, labs=BOTH),
    "no-memory": Kind("failure of a host", HOST_SIDES),
    "no-space": Kind("failure of a store", ("storage",)),
    "storage-load": Kind("stress on a store", ("storage",), ("write_rate", "working_set"), labs=BOTH),
    "ceph-recovery": Kind("stress on a store", HOST_SIDES, ("working_set",), labs=CLOUD),
    "host-memory": Kind("stress on a host", HOST_SIDES, ("working_set",)),
    "host-cpu": Kind("stress on a host", HOST_SIDES, ("workers",), labs=BOTH),
    "abort": Kind("an operator's command", instant=True, labs=BOTH),
    "second-migration": Kind("an operator's command", instant=True, labs=BOTH),
    "force-complete": Kind("an operator's command", instant=True, labs=CLOUD),
    "service-kill": Kind("failure of a service", (*HOST_SIDES, "controller"), ("service",), instant=True, labs=CLOUD),
    "service-down": Kind("failure of a service", (*HOST_SIDES, "controller"), ("service",), labs=CLOUD),
    "node-off": Kind("failure of a host", HOST_SIDES, labs=CLOUD),
    "guest-memory": Kind(
        "stress in the guest", needs=("write_rate", "working_set"), takes=("pattern",), labs=BOTH
    ),
    "guest-network": Kind("stress in the guest", needs=("rate",), labs=BOTH),
    "guest-cpu": Kind("stress in the guest", needs=("workers",), labs=BOTH),
    "guest-disk-write": Kind("stress in the guest", needs=("write_rate", "working_set"), takes=("sync",), labs=BOTH),
    "guest-disk-read": Kind("stress in the guest", needs=("write_rate", "working_set"), labs=BOTH),
}  # fmt: skip
_DOSES = ("rate", "write_rate", "working_set", "workers", "pattern", "way", "sync", "service", "loss", "delay", "host")


def round_of(phase: str) -> int | None:
    """N of round:N."""
    match = _ROUND.fullmatch(phase)
    return int(match[1]) if match else None


class Disturbance(Part):
    """One disturbance. when: "trial", from before the steady state to the end; "window", `offset` after the observed
    window before the migration has begun; or a phase of the migration, `offset` after its event. duration: how long.
    rate: of a link or its competing traffic; write_rate: of load in the guest, or on a store. way: which direction of a
    link is disturbed, by the host that sends. sync: each block is on the volume before the next. service: one of
    SERVICES. loss, delay: of each frame, in each direction. hold: the switchover waits until it has taken effect.
    host: which host alone is cut off a link."""

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
    service: str | None = None
    loss: Share | None = None
    delay: Duration | None = None
    hold: bool = False
    host: Literal["source", "destination"] | None = None

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
        known = kind.targets_of("openstack")
        if known and self.target not in known:
            return f"target {self.target!r} is not known to {self.kind}: one of {', '.join(known)}"
        if not kind.targets and self.target:
            return f"{self.kind} takes no target"
        if self.name == NONE:
            return "this name stands for no disturbance"
        if self.phase and self.phase not in (ACCEPTED, *PHASES) and round_of(self.phase) is None:
            return f"when {self.when!r} is not known: trial, window, {', '.join((ACCEPTED, *PHASES))} or round:N"
        if self.phase and (round_of(self.phase) or 2) < 2:
            return "when round:1 is written first-copy; rounds are counted from 2"
        if self.phase and kind.in_guest:
            return f"{self.kind} begins too slowly for a phase: when is trial or window"
        if self.when == "trial" and self.offset:
            return "offset: the whole trial has none; write when = 'window' or a phase"
        if kind.instant and self.when == "trial":
            return f"{self.kind} happens at a moment: when is window or a phase"
        if kind.ability == "an operator's command" and self.when == "window":
            return f"{self.kind} needs a migration: when is a phase"
        if kind.instant and self.duration is not None:
            return f"{self.kind} has no duration"
        if not kind.instant and self.when != "trial" and self.duration is None:
            return "duration is missing: how long, as in '2s'"
        if self.hold and self.when != "switchover":
            return "hold: only the switchover can be held"
        return "duration: the whole trial has none" if self.when == "trial" and self.duration is not None else None

    def _dose(self) -> str | None:
        kind = KINDS[self.kind]
        missing = [key for key in kind.needs if getattr(self, key) is None]
        if missing:
            return f"{self.kind} needs {', '.join(missing)}"
        odd = [key for key in _DOSES if getattr(self, key) is not None and key not in (*kind.needs, *kind.takes)]
        if odd:
            return f"{self.kind} takes no {', '.join(odd)}"
        if self.service is not None and self.target not in SERVICES.get(self.service, ()):
            if self.service not in SERVICES:
                return f"service {self.service!r} is not known: one of {', '.join(SERVICES)}"
            return f"{self.service} runs on: {', '.join(SERVICES[self.service])}"
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
        if self.kind.startswith("guest-disk") and (self.working_set or 0) > GUEST_DISK_BYTES:
            return "working_set: the guest's volume has room for 192MiB"
        if KINDS[self.kind].ability == "stress on a store" and (self.working_set or 0) > STORE_BYTES:
            return "working_set: the store has room for 4GiB of it"
        if self.kind == "storage-load" and (self.write_rate or 0) < BLOCK_BYTES:
            return "write_rate: 65536B/s to 100GB/s: a block of 64KiB each second at least"
        if self.way not in (None, "both") and self.target != "migration":
            return "way: only the migration link can be disturbed in one direction"
        if self.host is not None and self.target in ("migration", "external"):
            return f"host: it has no meaning on the link {self.target}, only on storage, tenant and management"
        if self.loss is not None and not 0.0001 <= self.loss <= 0.9:
            return "loss: 0.01% to 90%; link-down loses all"
        if self.delay is not None and not 0.001 <= self.delay <= 1:
            return "delay: 1ms to 1s"
        return None

    def refused_by(self, policy: Policy) -> str | None:
        """Why a policy never comes to its phase, or None."""
        if self.phase == "post-copy" and policy.post_copy is None:
            return "the policy has no phase post-copy"
        if self.phase == "switchover" and policy.pause is not None:
            return "the policy stops the guest before its switchover"
        return None

    def refused_on(self, lab: str) -> str | None:
        """Why a lab does not have it, or None."""
        kind = KINDS[self.kind]
        if lab not in kind.labs:
            return f"the lab {lab} has no {self.kind}, only {' and '.join(kind.labs)} has"
        if kind.targets and self.target not in kind.targets_of(lab):
            return (
                f"the lab {lab} has no target {self.target} for {self.kind}: one of {', '.join(kind.targets_of(lab))}"
            )
        if self.hold and lab != "qemu":
            return f"hold: the lab {lab} cannot hold the switchover"
        if self.phase == ACCEPTED and lab != "openstack":
            return f"the lab {lab} has no phase {ACCEPTED}: nobody accepts a request there"
        return None

    @property
    def guest_bytes(self) -> int:
        """The guest's memory that it holds."""
        return (self.working_set or 0) if self.kind == "guest-memory" else 0
