"""Which metrics a run on a cloud will have where only a part of it is in reach, and why the others will not be there.

What the fake lab records needs no list: its trial is measured with the tables that cannot be recorded taken away. What
only a cloud has is there where what it needs by the catalogue is in reach.
"""

import json
import tempfile
from collections.abc import Collection
from pathlib import Path

from migrascope.metrics.catalogue import Need, metric_of
from migrascope.metrics.trial import measure
from migrascope.model.family import SECOND
from migrascope.model.plan import Plan, Windows
from migrascope.model.schedule import TrialSpec, schedule
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of

WHY: dict[Need, str] = {
    "api": "no cloud's API is asked",
    "records": "the migration's records are not shown to us",
    "bindings": "the bindings of ports are not shown to us",
    "hypervisors": "no hypervisor is in reach: cloud.hosts in the plan names those that are",
    "links": "the counters of links are out of reach: they are the testbed's only",
    "capture": "the plan has no capture",
    "stamp": "the plan sends no STAMP packets (probes.stamp_rate)",
    "browser": "the plan has no browser (visitors.browser)",
    "log": "libvirt's own log is read on the lab libvirt only",
    "ovn": "no OVN is in reach: a testbed with --network ovn has one",
    "floating": "floating IPs are centralized: a testbed with --floating-ips distributed has each with its instance",
    "ipv6": "the plan measures IPv4 alone, or the instances' network has no IPv6 that visitors reach",
}
_TABLES: dict[Need, tuple[str, ...]] = {
    "hypervisors": ("qmp_event", "qmp_status", "libvirt_event", "libvirt_job"),
    "links": ("link", "frame"),
}
_SHORT = {"windows": Windows.model_validate({"before": "2s"}), "blocks": 1, "also": None}


def availability(plan: Plan, reach: Collection[Need]) -> dict[str, str | None]:
    """Each metric's key with the reason why it will be None, None where it will be there: in one of the plan's
    scenarios at least. reach: what can be asked."""
    plan = plan.model_copy(update=_SHORT)
    if plan.fleet.count:
        plan = plan.model_copy(update={"fleet": plan.fleet.model_copy(update={"count": [1]})})
    specs = {spec.factors.scenario: spec for spec in schedule(plan)}
    reasons: dict[str, str | None] = {}
    with tempfile.TemporaryDirectory(prefix="migrascope-") as folder:
        for name, spec in specs.items():
            for key, reason in _of_one(plan, spec, Path(folder) / name, reach).items():
                reasons[key] = reasons.get(key, reason) and reason
    for key in reasons:
        metric = metric_of(key)
        if metric is not None and metric.needs is not None:
            reasons[key] = None if metric.needs in reach else WHY[metric.needs]
        if SECOND in key and SECOND not in reach:
            reasons[key] = WHY["ipv6"]
    return reasons


def _of_one(plan: Plan, spec: TrialSpec, folder: Path, reach: Collection[Need]) -> dict[str, str | None]:
    run = RunFolder.create(folder, text_of(plan), {"lab": "fake"})
    opened = run.open_trial(spec.number)
    recording = run.seal_trial(opened, FakeTrials(plan).run_now(spec, opened))
    reasons = {key: found.reason for key, found in measure(recording).items()}
    for part, tables in _TABLES.items():
        if part in reach:
            continue
        if part == "hypervisors":
            _without_answer(recording.folder / "events.ndjson")
        for table in tables:
            (recording.folder / f"{table}.parquet").unlink(missing_ok=True)
        left = measure(Recording(recording.folder))
        reasons |= {key: WHY[part] for key, found in left.items() if found.reason and not reasons[key]}
    return reasons


def _without_answer(path: Path) -> None:
    """Takes from the events what only QEMU said: its final answer."""
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for event in events:
        event["data"].pop("answer", None)
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
