"""How long a run will take, before it begins: what its plan says of each trial, and a boot as it was here lately."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from migrascope.live.terms import terms_of
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import ACCEPTED, STORAGE_COPY
from migrascope.model.plan import Plan
from migrascope.model.policy import Policy
from migrascope.model.schedule import Factors, TrialSpec
from migrascope.model.storage import COPIED, SHARED
from migrascope.predict.mechanism import course
from migrascope.predict.recorded import payload_Bps, request_for
from migrascope.predict.request import Guest, NotPredicted
from migrascope.store.events import read_events
from migrascope.store.recording import Damaged
from migrascope.store.runfolder import RunError, RunFolder, folders
from migrascope.study.runs.environment import environment
from migrascope.trial.sampling import PERIODS_S
from migrascope.trial.setup import T_MAX_S
from migrascope.trial.spool_watch import GRACE_NS, RECOVERY_NS

NS = 1e9
BOOT_S = {"qemu": 12.0, "libvirt": 12.0, "openstack": 45.0}
"""Until an instance has booted and all that observes it runs, where no run here tells. On the labs of one machine 5 to
16 s were seen under TCG, by machine; on OpenStack it is what is left of 85 s for a trial of `thesis`."""
MANAGED_S = {"qemu": 0.0, "libvirt": 1.0, "openstack": 21.0}
"""What managers do around the copy, whatever its size."""
STEADY_S = 1.6
"""How long the processor of a guest that has just booted settles, which a steady window does not begin with: the mean
of 144 trials under TCG."""
COLLECTED_S = 1.7
"""Until what was recorded is sealed and the next trial begins: the mean of the same."""
SAMPLED_S = 0.5
"""What the samples of a guest take beside their periods."""
OWN_BYTES, OWN_SHARE = 97e6, 1 / 64
"""What a guest's memory holds that its plan has not filled: so much, and what describes its pages."""
VOLUME_BYTES = 139 * 2**20
"""What the website's volume holds."""
TESTBED_S = 120.0
"""One testbed goes and the next comes from its snapshot."""
UNKNOWN_BPS = 1e9
"""A link between hosts of others."""
STATED_S = 30.0
"""A migration by a command, or of a domain of others: how long it takes is not known."""
FAKE_S = 0.3
_MACHINE = ("cpu", "cores")
"""What of a machine decides how fast instances boot there."""
_ENDS = ("abort", "qemu-kill", "node-off")
"""Kinds that end a migration as they take effect; others let it go on."""
_HALTS = (("link-down", "migration"), ("qemu-freeze", "source"), ("qemu-freeze", "destination"))
"""What nothing is sent during."""
_LOST = (("qemu-kill", "source", ""), ("node-off", "source", ""), ("no-memory", "destination", "switchover"))
"""After these the guest boots again; where no phase is named, whenever they come."""


class Boot(NamedTuple):
    """How long it takes until an instance has booted and is observed. run: by which run, empty for none."""

    seconds: float
    run: str = ""


def boot_of(plan: Plan, runs: Path) -> Boot:
    """As in the newest run of the same lab on this machine of which a trial is over; else as elsewhere. 0 where none
    boots."""
    if plan.lab.kind not in BOOT_S or plan.their_domain:
        return Boot(0.0)
    here = environment()
    for path in reversed(folders(runs)):
        try:
            run = RunFolder(path)
            if _alike(run, plan, here) and (took := list(_boots(run))):
                return Boot(median(took), run.id)
        except (RunError, Damaged, OSError, ValueError):
            continue
    return Boot(BOOT_S[plan.lab.kind])


def _alike(run: RunFolder, plan: Plan, here: Mapping[str, Any]) -> bool:
    """Whether its instances booted on the same lab of this machine, or as this one's on hosts of others."""
    found, where = run.manifest, run.manifest.get("environment", {})
    same = found.get("lab") == plan.lab.kind and plan.lab.accelerator in ("auto", found.get("accelerator"))
    return same and all(where.get(key) == here[key] for key in _MACHINE) and run.plan().foreign == plan.foreign


def _boots(run: RunFolder) -> Iterator[float]:
    """Of each trial that came so far: from its begin to what comes after its parts are set up."""
    for number in run.finished():
        began_ns = None
        for event in read_events(run.trial(number) / "events.ndjson"):
            if event.name == "trial_start":
                began_ns = event.mono_ns
            elif event.name == "phase" and event.data.get("phase") != "arrange" and began_ns is not None:
                yield (event.mono_ns - began_ns) / NS
                break


def expected_s(plan: Plan, specs: Sequence[TrialSpec], boot_s: float) -> float:
    """All of these trials, one after another."""
    of_cell = {factors: trial_s(plan, factors, boot_s) for factors in {spec.factors for spec in specs}}
    others = sum(old.factors.network != new.factors.network for old, new in pairwise(specs))
    return sum(of_cell[spec.factors] for spec in specs) + TESTBED_S * others


def trial_s(plan: Plan, factors: Factors, boot_s: float) -> float:
    """One trial of a cell."""
    before = plan.windows.before
    if plan.lab.kind == "fake":
        return FAKE_S
    if plan.lab.kind == "address" or plan.their_domain:
        return STATED_S + plan.observed.pause + 2 * before
    return boot_s + _before_s(plan, factors) + _migrated_s(plan, factors, boot_s) + before + _after_s(factors)


def _before_s(plan: Plan, factors: Factors) -> float:
    """From an instance that is observed to the request: a steady window, the sampling, and a window after it."""
    before, disturbance = plan.windows.before, plan.disturbances().get(factors.disturbance)
    own = disturbance is not None and disturbance.when == "window"
    if factors.probes != "all":
        return before
    steady_s = before + GRACE_NS / NS
    again_s = (sum(PERIODS_S) + SAMPLED_S) if plan.sampled else 0.0
    if own or plan.sampled:
        again_s += before if own else steady_s
    return STEADY_S + steady_s + again_s


def _after_s(factors: Factors) -> float:
    """What follows the window after the migration."""
    return COLLECTED_S + (T_MAX_S if factors.probes == "all" else 0.0)


def _migrated_s(plan: Plan, factors: Factors, boot_s: float) -> float:
    """From the request until the service is there again: the migration, its disturbance, who waits for that to pass,
    and a boot where the guest is lost."""
    volume_s = _volume_s(plan, factors)
    moves = factors.instances / (plan.fleet.max_concurrent or factors.instances)
    around_s = MANAGED_S[plan.lab.kind] * math.ceil(moves)
    whole_s = min(plan.windows.limit, around_s + volume_s + factors.instances * _memory_s(plan, factors))
    recovery_s = RECOVERY_NS / NS + GRACE_NS / NS if factors.probes == "all" else 0.0
    disturbance = plan.disturbances().get(factors.disturbance)
    if disturbance is None or disturbance.when == "trial":
        return whole_s + recovery_s
    return _disturbed_s(plan, disturbance, whole_s, volume_s, boot_s)


def _disturbed_s(plan: Plan, disturbance: Disturbance, whole_s: float, volume_s: float, boot_s: float) -> float:
    """Likewise with a disturbance that passes. whole_s: the migration without it."""
    at_s = {
        "window": -plan.windows.before, ACCEPTED: 0.0, "setup": 0.0, STORAGE_COPY: 0.0, "first-copy": volume_s,
    }.get(disturbance.when, whole_s) + disturbance.offset  # fmt: skip
    lasts_s = disturbance.duration or 0.0
    aimed = (disturbance.kind, disturbance.target)
    over_s = max(0.0, at_s) if disturbance.kind in _ENDS else whole_s + (lasts_s if aimed in _HALTS else 0.0)
    again_s = boot_s if any((*aimed, when) in _LOST for when in ("", disturbance.when)) else 0.0
    return max(min(over_s, plan.windows.limit), at_s + lasts_s) + again_s


def _volume_s(plan: Plan, factors: Factors) -> float:
    """The copy of a volume."""
    if factors.storage != COPIED:
        return 0.0
    policy = plan.chosen_policies()[factors.policy]
    link = payload_Bps(factors.link_bps or UNKNOWN_BPS)
    return VOLUME_BYTES / min(link, policy.bandwidth / 8 or link)


def _memory_s(plan: Plan, factors: Factors) -> float:
    """The migration of a guest's memory by QEMU's own rule, as far as the plan says what the guest holds and writes. A
    policy of which nothing is predicted goes as pre-copy does."""
    terms = terms_of(plan, factors)
    held = OWN_BYTES + OWN_SHARE * factors.memory_bytes + factors.resident_bytes + terms.writer.size
    guest = Guest(factors.memory_bytes, min(held, factors.memory_bytes), terms.writer)
    asked = replace(factors, storage=SHARED, link_bps=factors.link_bps or UNKNOWN_BPS)
    policy = plan.chosen_policies()[factors.policy]
    for tried in (policy, Policy().model_copy(update={"bandwidth": policy.bandwidth})):
        try:
            found = course(request_for(guest, asked, tried, plan.lab.accelerator, plan.windows.limit, plan.lab.kind))
        except NotPredicted:
            continue
        return plan.windows.limit if found.time_s is None else found.time_s
    raise AssertionError("there is a rule for pre-copy")
