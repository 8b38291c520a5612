"""Policies: the ways of migrating that a plan compares. Each is a table [policies.NAME]; some names are built in."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from migrascope.model.controllers import Controller
from migrascope.model.managers import MANAGERS, AdvisedLimit, FixedLimit, NovaSteps, OvirtSchedule, ProxmoxDoubling
from migrascope.model.quantity import ByteRate, Duration, Part, Rate, Size

Rounds = Annotated[int, Field(ge=0, le=1000)]
Percent = Annotated[int, Field(ge=1, le=99)]
OWN_CAPABILITIES = {
    "auto-converge": "auto_converge",
    "xbzrle": "xbzrle",
    "postcopy-ram": "post_copy",
    "postcopy-preempt": "post_copy.preempt",
    "multifd": "multifd",
    "dirty-limit": "dirty_limit",
}
"""Capabilities by their QMP name that have a key of their own."""
OWN_PARAMETERS = {
    "downtime-limit": "axes.downtime_limit",
    "max-bandwidth": "bandwidth",
    "max-postcopy-bandwidth": "bandwidth",
    "cpu-throttle-initial": "auto_converge.initial",
    "cpu-throttle-increment": "auto_converge.increment",
    "max-cpu-throttle": "auto_converge.maximum",
    "xbzrle-cache-size": "xbzrle.cache",
    "multifd-channels": "multifd.channels",
    "multifd-compression": "multifd.compression",
    "vcpu-dirty-limit": "dirty_limit.rate",
    "x-vcpu-dirty-limit-period": "dirty_limit.period",
    "tls-creds": "tls",
    "tls-hostname": "tls",
    "tls-authz": "tls",
}
MIB = 2**20
NOT_LIVE = ("background-snapshot", "mapped-ram", "x-colo")
"""Capabilities of other things than moving a running guest to another host."""


class Moment(Part):
    """When something is done during a migration: once so many rounds are over, or so long after the request."""

    after_round: Rounds | None = None
    after: Duration | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.after_round is None) == (self.after is None):
            raise ValueError("say when: either after_round or after")
        return self

    def is_due(self, elapsed_s: float, begun: int) -> bool:
        """So long after the request. begun: rounds that have begun, as QEMU counts; one is over when the next has."""
        return elapsed_s >= self.after if self.after is not None else begun > (self.after_round or 0)


class PostCopy(Moment):
    """From a moment on the guest runs at the destination and fetches what it misses. preempt: what it waits for has a
    connection of its own. recover: an operator pauses it where nothing has moved for two seconds, and takes it up again
    over a new connection."""

    preempt: bool = False
    recover: bool = False


class AutoConverge(Part):
    """The guest's processors are slowed, by so many per cent at first, then more in each round, up to the maximum."""

    initial: Percent = 20
    increment: Percent = 10
    maximum: Percent = 99

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.initial > self.maximum:
            raise ValueError("initial is more than maximum")
        return self


class Xbzrle(Part):
    """A page that is sent again goes as its difference from the copy in a cache of this size."""

    cache: Size = 64 * 2**20

    @model_validator(mode="after")
    def _power(self) -> Self:
        if self.cache < 2**12 or self.cache & (self.cache - 1):
            raise ValueError("cache: QEMU takes a power of two of 4KiB at least")
        return self


class Multifd(Part):
    """Memory goes over so many connections, compressed or not."""

    channels: int = Field(4, ge=1, le=255)
    compression: Literal["none", "zlib", "zstd"] = "none"


class DirtyLimit(Part):
    """Each processor is held so that it dirties no more than this, measured over a period. Needs KVM's dirty ring."""

    rate: ByteRate = 2.0**20
    period: Duration = 1.0

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.rate < 2**20 or self.rate % 2**20:
            raise ValueError("rate: QEMU takes whole MiB/s, 1MiB/s at least")
        if not 0.001 <= self.period <= 1:
            raise ValueError("period: 1ms to 1s")
        return self


class Policy(Part):
    """One way of migrating; without any key it is plain pre-copy.

    bandwidth: what the migration may send; 0: as much as the link takes. pause: the guest is stopped at a moment and
    runs on at the destination. tls: the stream is encrypted, and both ends show certificates. tunnelled: it goes
    through libvirt's own connection. fixed: one limit of its own. nova, ovirt, proxmox, advised: who looks at the
    migration while it runs and changes its downtime limit. At most one of these. capabilities, parameters: whatever
    else QEMU offers, by its QMP name.
    """

    bandwidth: Rate = 0.0
    auto_converge: AutoConverge | None = None
    xbzrle: Xbzrle | None = None
    post_copy: PostCopy | None = None
    multifd: Multifd | None = None
    dirty_limit: DirtyLimit | None = None
    pause: Moment | None = None
    tls: bool = False
    tunnelled: bool = False
    fixed: FixedLimit | None = None
    nova: NovaSteps | None = None
    ovirt: OvirtSchedule | None = None
    proxmox: ProxmoxDoubling | None = None
    advised: AdvisedLimit | None = None
    capabilities: dict[str, bool] = Field(default_factory=dict)
    parameters: dict[str, int | bool | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        together = [
            ("post_copy", "multifd", "QEMU has no post-copy over multifd"),
            ("multifd", "xbzrle", "QEMU has no XBZRLE over multifd"),
            ("auto_converge", "dirty_limit", "QEMU takes one of auto_converge and dirty_limit"),
            ("post_copy", "pause", "a guest that is paused has nothing left for post-copy"),
            ("tunnelled", "post_copy", "post-copy is not supported with tunnelled migration"),  # libvirt's words
            ("tunnelled", "multifd", "libvirt has no parallel connections in a tunnel"),
        ]
        for text, other, words in together:
            if getattr(self, text) and getattr(self, other):
                raise ValueError(words)
        if problem := self._managed():
            raise ValueError(problem)
        if 0 < self.bandwidth < 8e6:
            raise ValueError("bandwidth: 8mbit at least, or 0 for no limit")
        for name in self.capabilities:
            if name in OWN_CAPABILITIES:
                raise ValueError(f"capabilities: {name} is written as {OWN_CAPABILITIES[name]}")
            if name in NOT_LIVE:
                raise ValueError(f"capabilities: {name} does not move a running guest to another host")
        for name in self.parameters:
            if name in OWN_PARAMETERS:
                raise ValueError(f"parameters: {name} is written as {OWN_PARAMETERS[name]}")
        if self.capabilities.get("zero-copy-send") and (not self.multifd or self.multifd.compression != "none"):
            raise ValueError("capabilities: zero-copy-send needs multifd without compression")
        if self.capabilities.get("zero-copy-send") and self.tls:
            raise ValueError("capabilities: zero-copy-send sends nothing encrypted")
        if self.capabilities.get("switchover-ack") and not self.capabilities.get("return-path"):
            raise ValueError("capabilities: switchover-ack needs return-path")
        return self

    @property
    def manager(self) -> str | None:
        """Who changes the migration while it runs, by its key; None for nobody."""
        return next((name for name in MANAGERS if getattr(self, name) is not None), None)

    @property
    def may_turn(self) -> bool:
        """Whether its guest may be turned over to post-copy."""
        return self.post_copy is not None or (self.advised is not None and self.advised.turn != "never")

    @property
    def preempts(self) -> bool:
        """Whether in post-copy what the guest waits for has a connection of its own."""
        own = self.advised is not None and self.advised.turn == "post-copy-preempt"
        return own or (self.post_copy is not None and self.post_copy.preempt)

    def controller(self, downtime_limit_s: float, memory_bytes: int) -> Controller | None:
        """What decides while a migration runs, from its beginning; None where nothing does. downtime_limit_s: what the
        axis says; memory_bytes: of the guest."""
        manager = None if self.manager is None else getattr(self, self.manager)
        found: Controller | None = None if manager is None else manager.controller(downtime_limit_s, memory_bytes)
        return found

    def _managed(self) -> str | None:
        """Why nobody can change such a migration while it runs, or None."""
        given = [name for name in MANAGERS if getattr(self, name) is not None]
        if len(given) > 1:
            return f"{' and '.join(given)}: one manager changes the limit, not several"
        if given and self.pause:
            return f"{given[0]}: a guest that is paused has no limit left to change"
        if self.advised is not None and self.advised.turn != "never" and (self.multifd or self.post_copy):
            other = "multifd" if self.multifd else "post_copy"
            return f"advised.turn: it decides itself when the guest is turned over, without {other}"
        return None


def whole_mib_s(bandwidth_bps: float) -> int:
    """A bandwidth in libvirt's and Nova's unit, which has no parts; 1 at least, since 0 is none."""
    return max(1, round(bandwidth_bps / 8 / MIB))


def by_libvirt(policy: Policy) -> Policy:
    """The same as libvirt carries it out: a bandwidth in whole MiB/s, and in post-copy what the guest waits for has a
    connection of its own wherever QEMU has that."""
    changed: dict[str, Any] = {}
    if policy.bandwidth:
        changed["bandwidth"] = whole_mib_s(policy.bandwidth) * 8.0 * MIB
    if policy.post_copy is not None:
        changed["post_copy"] = policy.post_copy.model_copy(update={"preempt": True})
    return policy.model_copy(update=changed)


BUILT_IN = {
    "pre-copy": Policy(),
    "auto-converge": Policy(auto_converge=AutoConverge()),
    "xbzrle": Policy(xbzrle=Xbzrle()),
    "post-copy": Policy(post_copy=PostCopy(after_round=1)),
    "post-copy-preempt": Policy(post_copy=PostCopy(after_round=1, preempt=True)),
    "multifd": Policy(multifd=Multifd()),
    "multifd-zstd": Policy(multifd=Multifd(compression="zstd")),
    "dirty-limit": Policy(dirty_limit=DirtyLimit()),
    "tls": Policy(tls=True),
    "nova": Policy(nova=NovaSteps()),
    "ovirt": Policy(ovirt=OvirtSchedule()),
    "proxmox": Policy(proxmox=ProxmoxDoubling()),
    "advised": Policy(advised=AdvisedLimit()),
}
"""What these names stand for where a plan has no table of that name."""
