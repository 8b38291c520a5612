"""What is known of a migration before it begins: its guest, its link and how it is set."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from migrascope.mechanism.dirtying import Dirty, Dirtying
from migrascope.mechanism.rules import HORIZON_S, Rules, Step
from migrascope.model.controllers import nova_steps
from migrascope.model.policy import AutoConverge, Moment, Policy
from migrascope.model.problem import Problem


class NotPredicted(Problem):
    """What cannot be predicted, because; the message says what would help."""

    code = 3


@dataclass(frozen=True)
class Guest:
    """memory_bytes: all of it; held_bytes: of it what holds something but zeros. dirtying: what it writes."""

    memory_bytes: float
    held_bytes: float
    dirtying: Dirtying = field(default_factory=Dirtying)

    @classmethod
    def sampled(cls, memory_bytes: float, held_bytes: float, points: Sequence[Dirty]) -> "Guest":
        """By D(t) at several periods. What it dirties holds something, or else it would hold more from then on: its
        working sets are no larger than what it holds."""
        return cls(memory_bytes, held_bytes, Dirtying.fitted(points, held_bytes))


@dataclass(frozen=True)
class Settings:
    """How a migration is set.

    form: the kind of policy, by the name that a fit knows it by. limits: the downtime limit in its steps, the first at
    0 s. deadline_s: when it is cancelled. slows: auto-converge. turns, paused: when the guest is turned over to
    post-copy, or stopped. wire, again: bytes on the link for a byte of memory that goes for the first time, and again:
    1 without compression. channel_Bps: what compression takes in of memory in a second, None for no bound.
    connections: over how many it goes at once. bound_Bps: what it may send in a second while the guest runs and in
    post-copy, None for as much as the link carries.
    """

    form: str
    limits: tuple[Step, ...]
    deadline_s: float = HORIZON_S
    slows: AutoConverge | None = None
    turns: Moment | None = None
    paused: Moment | None = None
    wire: float = 1.0
    again: float = 1.0
    channel_Bps: float | None = None
    connections: int = 1
    bound_Bps: float | None = None

    @property
    def preempts(self) -> bool:
        """Whether a page that a guest in post-copy asks for has a connection of its own."""
        return "post-copy-preempt" in self.form.split("+")

    @property
    def rules(self) -> Rules:
        """What of it QEMU's loop goes by."""
        return Rules(self.limits, self.deadline_s, self.slows, self.turns, self.paused)

    @classmethod
    def of(
        cls,
        policy: Policy,
        limits: tuple[Step, ...],
        deadline_s: float = HORIZON_S,
        *,
        wire: float = 1.0,
        again: float = 1.0,
        channel_Bps: float | None = None,
    ) -> "Settings":
        """Of a policy of a plan. wire, again, channel_Bps: as above, from earlier migrations of such a guest.
        NotPredicted where no rule for it is known."""
        if policy.tunnelled:
            raise NotPredicted("cannot be predicted, because there is no rule here for libvirt's tunnel")
        if policy.dirty_limit is not None:
            raise NotPredicted(
                "cannot be predicted, because there is no rule here for a dirty limit; try auto_converge"
            )
        if policy.capabilities or policy.parameters:
            named = ", ".join([*policy.capabilities, *policy.parameters])
            raise NotPredicted(f"cannot be predicted, because the policy sets {named}, for which there is no rule here")
        compressed = policy.multifd is not None and policy.multifd.compression != "none"
        if compressed and (wire == 1.0 or again == 1.0):
            raise NotPredicted(
                "cannot be predicted, because how far this guest's memory compresses is not known; "
                "migrate it once with this compression"
            )
        if policy.xbzrle is not None and again == 1.0:
            raise NotPredicted(
                "cannot be predicted, because how much of its pages a guest changes is not known; "
                "migrate it once with XBZRLE"
            )
        return cls(
            form_of(policy, limits), limits, deadline_s, policy.auto_converge, policy.post_copy, policy.pause,
            wire, again, channel_Bps, policy.multifd.channels if policy.multifd is not None else 1,
            policy.bandwidth / 8 or None,
        )  # fmt: skip


def form_of(policy: Policy, limits: tuple[Step, ...]) -> str:
    """The kind of a policy: what of it changes by which rule a migration goes on."""
    parts = []
    if policy.multifd is not None:
        parts.append("multifd" if policy.multifd.compression == "none" else f"multifd-{policy.multifd.compression}")
    parts += ["auto-converge"] if policy.auto_converge is not None else []
    parts += ["xbzrle"] if policy.xbzrle is not None else []
    if policy.post_copy is not None:
        parts.append("post-copy-preempt" if policy.post_copy.preempt else "post-copy")
    parts += ["pause"] if policy.pause is not None else []
    parts += ["tls"] if policy.tls else []
    parts += ["stepped-limit"] if len(limits) > 1 else []
    return "+".join(parts) or "pre-copy"


@dataclass(frozen=True)
class Request:
    """A migration that is about to be asked for. accelerator: kvm or tcg. link_Bps: what the link carries of payload in
    a second."""

    accelerator: str
    guest: Guest
    link_Bps: float
    settings: Settings

    def __post_init__(self) -> None:
        if not self.link_Bps > 0:
            raise NotPredicted("cannot be predicted, because the link's rate is not known; state it, or measure it")
        limits = self.settings.limits
        if not limits or limits[0].at_s > 0 or any(step.limit_s < 0 for step in limits):
            raise NotPredicted("cannot be predicted, because the downtime limit at the request is not known")

    def sent_Bps(self, speed: float = 1.0) -> float:
        """Bytes on the link in a second while the guest runs. speed: the share of what the link carries that is
        reached; what the settings allow is."""
        link_Bps = speed * self.link_Bps
        return link_Bps if self.settings.bound_Bps is None else min(link_Bps, self.settings.bound_Bps)


def nova_limits(downtime_s: float, steps: int, delay_s: float, memory_gb: float) -> tuple[Step, ...]:
    """The downtime limits that Nova sets one after the other, by `nova_steps`."""
    return tuple(Step(*step) for step in nova_steps(downtime_s, steps, delay_s, memory_gb))
