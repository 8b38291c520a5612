"""How a migration was set, as far as its end depends on it."""

from dataclasses import dataclass, field, replace
from typing import Any

from migrascope.live.writer import Writing
from migrascope.mechanism.dirtying import Dirtying, WorkingSet
from migrascope.mechanism.rules import HORIZON_S, Rules, Step
from migrascope.model.plan import Plan
from migrascope.model.policy import AutoConverge, Moment
from migrascope.model.schedule import COMMAND, Factors

HOT_WRITES, HOT_SHARE = 0.9, 0.1
LEAST_BUSY = 0.01
"""A writer that needs less of its processor than the highest throttle leaves is never slowed."""


@dataclass(frozen=True)
class Terms:
    """limit_s: the downtime limit in force. may_rise: its controller will raise it. deadline_s: seconds from the
    request after which it is cancelled, None where it never is. slows: auto-converge. turns, paused: when the guest is
    turned over to post-copy, or stopped. write_Bps, write_set_bytes: what the guest is known to write; 0 for nothing.
    link_Bps: what the migration link carries in a second, None where that is not known. bound_Bps: what the policy lets
    it send in a second while the guest runs, None for as much as the link carries. busy: the share of its
    processor that the guest needs, for what it writes and beside it; least_busy: for that alone, where it is less.
    sampled: what it was seen to dirty before, without sets where
    nobody looked. memory_bytes: its memory, 0 where that is not known. write_pattern: in which order it writes."""

    limit_s: float
    deadline_s: float | None = None
    may_rise: bool = False
    slows: AutoConverge | None = None
    turns: Moment | None = None
    write_Bps: float = 0.0
    write_set_bytes: int = 0
    link_Bps: float | None = None
    paused: Moment | None = None
    busy: float = 1.0
    sampled: Dirtying = field(default_factory=Dirtying)
    memory_bytes: int = 0
    write_pattern: str = "random"
    least_busy: float = 1.0
    bound_Bps: float | None = None

    @property
    def writer(self) -> Dirtying:
        """What the plan's writer dirties, by its rate; without sets where there is none."""
        if not self.write_Bps:
            return Dirtying()
        return Dirtying(working_sets(self.write_pattern, float(self.write_set_bytes), self.write_Bps))

    @property
    def helped(self) -> bool:
        """Whether something will end it that its rounds do not show."""
        return self.may_rise or self.turns is not None or self.paused is not None

    @property
    def known(self) -> bool:
        """Whether it is known before the migration what the guest dirties."""
        return bool(self.write_Bps or self.sampled.sets)

    @property
    def rules(self) -> Rules:
        """What of it QEMU's loop goes by. That it may be cancelled is left to who reads the end."""
        return Rules((Step(0.0, self.limit_s),), HORIZON_S, self.slows, self.turns, self.paused)

    @property
    def sparing(self) -> "Terms":
        """With what the guest has to spare at most."""
        return replace(self, busy=min(self.busy, self.least_busy))

    def writing(self, seen: Writing | None, load: float | None = None) -> "Terms":
        """By what the plan's writer counted before the migration: it reaches less than its rate where its processor is
        short. load: the share of its processor that the whole guest took, None where that is not known: what is left
        of it, the guest has to spare."""
        if not self.write_Bps or seen is None or seen.rate_Bps <= 0:
            return self
        alone = min(1.0, max(LEAST_BUSY, seen.busy))
        return replace(self, write_Bps=seen.rate_Bps, busy=min(1.0, max(alone, load or 0.0)), least_busy=alone)

    def limited(self, parameters: dict[str, Any]) -> "Terms":
        """By an answer of QEMU to query-migrate-parameters: the limit that is in force, which Nova raises by steps up
        to that of the plan."""
        found = parameters.get("downtime-limit")
        if not found:
            return self
        return replace(self, limit_s=found / 1000, may_rise=self.may_rise and found / 1000 < self.limit_s)


def terms_of(plan: Plan, factors: Factors) -> Terms:
    """What the plan sets for a trial with these factors. Nova begins with a lower limit and raises it. Of a migration
    that a command carries out nothing is known."""
    if factors.policy == COMMAND:
        return Terms(factors.downtime_limit_s)
    policy = plan.chosen_policies()[factors.policy]
    disturbance = plan.disturbances().get(factors.disturbance)
    writes, size, pattern = factors.write_Bps, factors.write_set_bytes, factors.write_pattern
    if disturbance is not None and disturbance.kind == "guest-memory":
        writes, size = disturbance.write_rate or 0.0, disturbance.working_set or 0
        pattern = disturbance.pattern or "random"
    manager = policy.controller(factors.downtime_limit_s, factors.memory_bytes)
    return Terms(
        factors.downtime_limit_s if manager is None else manager.first_s,
        plan.windows.limit,
        plan.lab.kind == "openstack" or manager is not None,
        policy.auto_converge,
        policy.post_copy,
        writes,
        size,
        None if plan.foreign else factors.link_bps / 8,
        policy.pause,
        memory_bytes=factors.memory_bytes,
        write_pattern=pattern,
        bound_Bps=policy.bandwidth / 8 or None,
    )


def working_sets(pattern: str, size: float, rate_Bps: float) -> tuple[WorkingSet, ...]:
    """Of a writer in the guest with this pattern (see guest/stress.py): of hot ones nine tenths of the writes go to a
    tenth of the set, and the others anywhere in it."""
    if pattern == "hot":
        often = HOT_WRITES + (1 - HOT_WRITES) * HOT_SHARE
        return (
            WorkingSet(HOT_SHARE * size, often * rate_Bps),
            WorkingSet((1 - HOT_SHARE) * size, (1 - often) * rate_Bps),
        )
    return (WorkingSet(size, rate_Bps, pattern == "sequential"),)
