"""What happens in a scripted migration: the truths that a fake trial is recorded from."""

import random
from dataclasses import dataclass
from typing import Literal

from migrascope.model.schedule import Factors, TrialSpec

Failure = Literal["destination-died", "source-killed", "not-converged"]


@dataclass(frozen=True)
class Script:
    """The known truths of one fake trial, in seconds and bytes.

    Nothing answers from STOP for gap_s. Packets sent in the first lost_s of that are lost, the others come late, when
    it ends. hold_s is how long the first segment that viewer-1 asks for after STOP is held back. failure:
    destination-died fails in pre-copy and the guest runs on; source-killed ends after STOP without RESUME;
    not-converged never stops, and is cancelled at the plan's limit. wall_step_s steps the wall clock between request
    and STOP. whole: the guest's memory witness finds its pages as it wrote them. needs_s: under a lower downtime limit
    each further round leaves as much again as takes so long to send. later_over_ipv6_s: so much later the guest is
    heard over IPv6.
    """

    precopy_s: float
    pause_s: float
    reported_downtime_s: float
    gap_s: float
    lost_s: float
    data_bytes: int
    rounds: int
    dirty_rate_Bps: float
    hold_s: float = 0.0
    failure: Failure | None = None
    wall_step_s: float = 0.0
    prober_late_s: float = 0.0
    lost_before: int = 0
    quiet_rtt_s: float = 0.0003
    whole: bool = True
    needs_s: float = 0.0
    later_over_ipv6_s: float = 0.0

    @property
    def reported_total_s(self) -> float:
        return round(self.precopy_s + self.reported_downtime_s, 3)

    @property
    def reported_transferred_bytes(self) -> int:
        return round(0.998 * self.data_bytes)


def default_script(spec: TrialSpec, seed: int) -> Script:
    """Plausible truths for the trial's factors; the same trial and seed give the same ones."""
    chance = random.Random(f"{seed}/{spec.number}/{spec.factors}")
    factors = spec.factors
    data = _data_bytes(factors) * chance.uniform(0.97, 1.05)
    natural = {"none": 0.06, "online": 0.07, "relay": 0.12, "offline": 0.17}[factors.scenario]
    natural *= chance.uniform(0.9, 1.15) * 1e9 / factors.link_bps
    reported = min(natural, factors.downtime_limit_s * chance.uniform(0.75, 0.97))
    copy_s = data * 8 / (0.957 * factors.link_bps)
    if copy_s < factors.downtime_limit_s:  # all of it fits: stop-and-copy
        reported, copy_s = copy_s, 0.0
    pause = reported + chance.uniform(0.024, 0.065)
    gap = pause + chance.uniform(0.04, 0.106)
    hold = {"none": 0.0, "online": 0.004, "relay": gap + 0.2, "offline": gap + 0.1}[factors.scenario]
    return Script(
        precopy_s=0.12 + copy_s,
        pause_s=pause,
        reported_downtime_s=round(reported, 3),
        gap_s=gap,
        lost_s=pause,
        data_bytes=round(data),
        rounds=chance.choice([3, 4, 5]),
        dirty_rate_Bps=natural * 1e7,
        hold_s=hold * chance.uniform(1.0, 1.2),
    )


def _data_bytes(factors: Factors) -> float:
    video = {"none": 0.0, "online": 2e6, "relay": 14e6, "offline": 120e6 if factors.cache == "warm" else 18e6}
    return 104e6 + 14e6 * factors.memory_bytes / 2**30 + video[factors.scenario] + factors.resident_bytes
