"""Recorded trials as data for a model: what was known before the migration (table sample), and what came of it."""

from collections.abc import Mapping

import polars as pl

from migrascope.mechanism.dirtying import Dirty, Dirtying
from migrascope.mechanism.rules import PAYLOAD, Step
from migrascope.mechanism.sampled import dirtied, share_held
from migrascope.model.measured import Measured
from migrascope.model.policy import Policy
from migrascope.predict.request import Guest, NotPredicted, Request, Settings
from migrascope.predict.trials import Outcome
from migrascope.store.recording import Recording


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
    link_Bps = factors.link_bps / 8 * PAYLOAD
    if policy.bandwidth:
        link_Bps = min(link_Bps, policy.bandwidth / 8) if link_Bps else policy.bandwidth / 8
    memory = float(factors.memory_bytes)
    guest = Guest(memory, _share_held(rows) * memory, Dirtying.fitted(points, memory))
    limits = (Step(0.0, factors.downtime_limit_s),)
    deadline_s = float(trial.plan["windows"]["limit"])
    return Request(
        str(trial.facts.get("accelerator", "unknown")), guest, link_Bps, Settings.of(policy, limits, deadline_s)
    )


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


def _share_held(rows: pl.DataFrame) -> float:
    """The share of its pages that hold something."""
    held = rows.filter(pl.col("what") == "held")
    good = held.filter(pl.col("answer") != "")
    if good.is_empty():
        why = held["error"][0] if held.height else "nobody looked"
        raise NotPredicted(f"cannot be predicted, because how much the guest's memory holds is not known: {why}")
    return share_held(int(good["pages"][0]), str(good["answer"][0]))


def outcome_of(status: str, metrics: Mapping[str, Measured]) -> Outcome | None:
    """What was measured of a trial's migration; None of one that failed: whether it would have ended is not known."""

    def value(key: str) -> float | None:
        return metrics[key].value if key in metrics and not metrics[key].at_least else None

    time_s, rounds = value("migration_time_s"), value("rounds")
    if time_s is None:
        return Outcome(False) if status == "not-converged" else None
    return Outcome(
        True, time_s, value("vm_pause_s"), value("data_transferred_bytes"), None if rounds is None else int(rounds)
    )
