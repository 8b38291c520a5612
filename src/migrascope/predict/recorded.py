"""Recorded trials as data for a model: what was known before the migration (table sample), and what came of it."""

from collections.abc import Mapping

import polars as pl

from migrascope.mechanism.dirtying import Dirty
from migrascope.mechanism.rules import PAYLOAD, Step
from migrascope.mechanism.sampled import dirtied, share_held
from migrascope.model.measured import Measured
from migrascope.model.policy import Policy, by_libvirt
from migrascope.model.schedule import Factors
from migrascope.model.storage import COPIED
from migrascope.predict.request import Guest, NotPredicted, Request, Settings, nova_limits
from migrascope.predict.trials import Outcome
from migrascope.store.recording import Recording

_BEFORE_QEMU = ("phase_s.connect", "phase_s.begin", "phase_s.prepare")
"""Where libvirt's time goes until it asks QEMU to migrate."""


def request_of(recording: Recording, policy: Policy) -> Request:
    """What was known before a trial's migration. NotPredicted where that is too little."""
    trial = recording.trial
    factors = trial.factors
    rows = recording.table("sample")
    if rows.is_empty():
        raise NotPredicted(
            "cannot be predicted, because what the guest dirties was not sampled; set probes.dirty = true in the plan"
        )
    points = points_of(recording)
    if factors.write_Bps and not any(point.dirty_bytes for point in points):
        raise NotPredicted(
            f"cannot be predicted, because the guest writes {factors.write_Bps / 1e6:.0f} MB/s and no sampled page "
            "changed: too few pages are looked at for what it writes to"
        )
    guest = Guest.sampled(float(factors.memory_bytes), held_of(recording), points)
    accelerator, lab = (str(trial.facts.get(name, "unknown")) for name in ("accelerator", "lab"))
    return request_for(guest, factors, policy, accelerator, float(trial.plan["windows"]["limit"]), lab)


def request_for(
    guest: Guest, factors: Factors, policy: Policy, accelerator: str, deadline_s: float, lab: str
) -> Request:
    """What is asked for with these factors in a lab. Of a link that nobody knows it is what the policy lets go over it.
    NotPredicted where there is no rule for it."""
    if lab == "libvirt":
        policy = by_libvirt(policy)
    if factors.storage == COPIED:
        raise NotPredicted("cannot be predicted, because there is no rule here for the copy of a volume")
    link_Bps = payload_Bps(factors.link_bps) or policy.bandwidth / 8
    return Request(accelerator, guest, link_Bps, Settings.of(policy, limits_of(policy, factors), deadline_s))


def payload_Bps(link_bps: float) -> float:
    """What a link of a rate carries beside its headers, in a second."""
    return link_bps / 8 * PAYLOAD


def limits_of(policy: Policy, factors: Factors) -> tuple[Step, ...]:
    """The downtime limits of a migration, as far as they are known before. NotPredicted where they depend on how it
    goes."""
    if policy.nova is not None:
        gb = factors.memory_bytes / 2**30
        return nova_limits(factors.downtime_limit_s, policy.nova.steps, policy.nova.delay, gb)
    if policy.fixed is not None:
        return (Step(0.0, policy.fixed.downtime),)
    if policy.manager is not None:
        raise NotPredicted(
            f"cannot be predicted, because {policy.manager} changes the limit by how it goes, for which there "
            "is no rule here"
        )
    return (Step(0.0, factors.downtime_limit_s),)


def points_of(recording: Recording) -> list[Dirty]:
    """D(t) as it was sampled before the migration. NotPredicted where no period was."""
    dirty = recording.table("sample").filter(pl.col("what") == "dirty")
    points = []
    for period_s, answer in dirty.filter(pl.col("answer") != "").select("period_s", "answer").rows():
        points.append(dirtied(period_s, answer))
    if not points:
        why = dirty["error"][0] if dirty.height else "it was not asked"
        raise NotPredicted(f"cannot be predicted, because QEMU gave no dirty rate: {why}")
    return points


def held_of(recording: Recording) -> float:
    """What the guest held, in bytes, as it was sampled before the migration. NotPredicted where nobody knows."""
    held = recording.table("sample").filter(pl.col("what") == "held")
    good = held.filter(pl.col("answer") != "")
    if good.is_empty():
        why = held["error"][0] if held.height else "nobody looked"
        raise NotPredicted(f"cannot be predicted, because how much the guest's memory holds is not known: {why}")
    share = share_held(int(good["pages"][0]), str(good["answer"][0]))
    return share * recording.trial.factors.memory_bytes


def before_qemu_s(metrics: Mapping[str, Measured]) -> float | None:
    """What libvirt took from the request until it asked QEMU to migrate; None where no log of it tells."""
    parts = [metrics[key].value for key in _BEFORE_QEMU if key in metrics]
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(_BEFORE_QEMU) else None


def outcome_of(status: str, metrics: Mapping[str, Measured]) -> Outcome | None:
    """What was measured of a trial's migration; None of one that failed: whether it would have ended is not known. Its
    time begins when QEMU is asked: what libvirt takes before is by no rule of QEMU's."""

    def value(key: str) -> float | None:
        return metrics[key].value if key in metrics and not metrics[key].at_least else None

    time_s, rounds = value("migration_time_s"), value("rounds")
    if time_s is None:
        return Outcome(False) if status == "not-converged" else None
    time_s -= before_qemu_s(metrics) or 0.0
    return Outcome(
        True, time_s, value("vm_pause_s"), value("data_transferred_bytes"), None if rounds is None else int(rounds)
    )
