"""Results of trials with plausible numbers, and the findings over them."""

from importlib import import_module
from typing import Any

from faketrial import FACTORS

from migrascope.analysis.findings import findings
from migrascope.analysis.limit import limited
from migrascope.analysis.meter_error import meter_error
from migrascope.analysis.results import Finding, TrialResult
from migrascope.model.measured import Measured
from migrascope.model.schedule import Factors
from migrascope.model.verdict import Judgement
from migrascope.store.recording import TrialFacts

INTACT = Judgement("intact", "nothing was lost")
NO_CALIBRATION = meter_error(None, None, 500.0)


def result(number: int, block: int = 1, factors: Factors = FACTORS, status: str = "ok", **values: float) -> TrialResult:
    """A trial with plausible numbers, or those given."""
    plain = {
        "data_transferred_bytes": 1e8, "migration_time_s": 1.0, "vm_pause_s": 0.1, "network_blackout_s": 0.15,
        "reported_downtime_s": 0.05, "set_downtime_limit_s": 0.3,
    } | values  # fmt: skip
    metrics = {key: Measured(value, "s", "test") for key, value in plain.items()}
    reason = None if status == "ok" else "QEMU ended"
    facts = TrialFacts(number, block, factors, "host-a", "host-b", "i", "m", status, reason, {})
    return TrialResult(facts, metrics, limited(metrics), INTACT)


def said(results: list[TrialResult], topic: str, **given: Any) -> list[Finding]:
    return [
        finding
        for finding in findings(results, given.get("accelerator", "kvm"), NO_CALIBRATION)
        if finding.topic == topic
    ]


def scipy_stats() -> Any:
    """scipy.stats, which is loaded where it is asked: each process that collects the tests would take a second for
    it."""
    return import_module("scipy.stats")


def bounded(wrong: int, of: int, most: float) -> bool:
    """Whether so many wrong ones are compatible with a share of at most `most`."""
    return bool(scipy_stats().binomtest(wrong, of, most, alternative="greater").pvalue > 1e-3)
