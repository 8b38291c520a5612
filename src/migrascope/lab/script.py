"""What happens in a scripted migration: the truths that a fake trial is recorded from, and its time line."""

import random
from dataclasses import dataclass
from typing import Literal

from migrascope.model.plan import Plan
from migrascope.model.schedule import Factors, TrialSpec

Failure = Literal["destination-died", "source-killed", "not-converged"]
S = 1_000_000_000
DRAIN_S = 3.0
RECOVERY_S = 0.5
WALL_OFFSET = 1_750_000_000 * S


@dataclass(frozen=True)
class Script:
    """The known truths of one fake trial, in seconds and bytes.

    Nothing answers from STOP for gap_s. Packets sent in the first lost_s of that are lost, the others come late, when
    it ends. hold_s is how long the first segment that viewer-1 asks for after STOP is held back. failure:
    destination-died fails in pre-copy and the guest runs on; source-killed ends after STOP without RESUME;
    not-converged never stops and is cancelled. wall_step_s steps the wall clock between request and STOP.
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

    @property
    def reported_total_s(self) -> float:
        return round(self.precopy_s + self.reported_downtime_s, 3)

    @property
    def reported_transferred_bytes(self) -> int:
        return round(0.998 * self.data_bytes)

    def wall_ns(self, mono_ns: int, times: "Times") -> int:
        """The scripted wall clock at a monotonic stamp."""
        stepped = mono_ns > times.request + round(self.precopy_s * S / 2)
        return mono_ns + WALL_OFFSET + (round(self.wall_step_s * S) if stepped else 0)


@dataclass(frozen=True)
class Times:
    """Monotonic ns of what the script makes happen; stop, resume and complete are None where they never do."""

    start: int
    steady: int
    before: int
    request: int
    first_pass: int
    stop: int | None
    resume: int | None
    first_reply: int | None
    complete: int | None
    failed: int | None
    recovered: int | None
    after: int
    stopping: int
    end: int


def default_script(spec: TrialSpec, seed: int) -> Script:
    """Plausible truths for the trial's factors; the same trial and seed give the same ones."""
    chance = random.Random(f"{seed}/{spec.number}/{spec.factors}")
    factors = spec.factors
    data = _data_bytes(factors) * chance.uniform(0.97, 1.05)
    natural = {"none": 0.06, "online": 0.07, "relay": 0.12, "offline": 0.17}[factors.scenario]
    natural *= chance.uniform(0.9, 1.15) * 1e9 / factors.link_bps
    reported = min(natural, factors.downtime_limit_s * chance.uniform(0.75, 0.97))
    pause = reported + chance.uniform(0.024, 0.065)
    gap = pause + chance.uniform(0.04, 0.106)
    hold = {"none": 0.0, "online": 0.004, "relay": gap + 0.2, "offline": gap + 0.1}[factors.scenario]
    return Script(
        precopy_s=0.12 + data * 8 / (0.957 * factors.link_bps),
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
    return 104e6 + 14e6 * factors.memory_bytes / 2**30 + video[factors.scenario]


def time_line(script: Script, plan: Plan, number: int) -> Times:
    """When everything happens; trials lie 1000 s apart on the monotonic clock."""

    def later(base: int, seconds: float) -> int:
        return base + round(seconds * S)

    start = (1000 + 1000 * number) * S
    steady = later(start, 4.0)
    before = later(steady, 1.5)
    request = later(before, plan.windows.before)
    first_pass = later(request, 0.02)
    stop = resume = first_reply = complete = failed = None
    if script.failure in ("destination-died", "not-converged"):
        failed = later(request, script.precopy_s)
        recovered, settled = None, failed
    else:
        stop = later(request, script.precopy_s)
        if script.failure == "source-killed":
            failed = later(stop, script.pause_s)
            recovered, settled = None, later(failed, 1.0)
        else:
            resume = later(stop, script.pause_s)
            first_reply = later(stop, script.gap_s)
            complete = later(resume, 0.004)
            recovered = settled = later(max(first_reply, later(resume, RECOVERY_S)), 0.03)
    stopping = later(settled, plan.windows.before)
    end = later(stopping, DRAIN_S)
    return Times(
        start, steady, before, request, first_pass, stop, resume, first_reply, complete, failed, recovered, settled,
        stopping, end,
    )  # fmt: skip
