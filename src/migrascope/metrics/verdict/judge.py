"""The verdict on a trial: the worst that any of its witnesses saw."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from migrascope.metrics.verdict import hosts, ledger, liveness, service
from migrascope.metrics.verdict.disturbed import MISSED, Began, Disturbed, took_effect
from migrascope.metrics.verdict.disturbed import WITNESS as DISTURBANCE
from migrascope.metrics.verdict.spans import Times
from migrascope.model.disturbance import LATE_S, NONE
from migrascope.model.postcheck import PostCheck
from migrascope.model.verdict import VERDICTS, Judgement, Statement


@dataclass(frozen=True)
class Evidence:
    """All that the witnesses left; what is empty or None was not recorded.

    outage_s: the longest silence of the website that is no loss of service. changes: stamps of each host's hypervisor
    (ns) at which it stopped or resumed the instance. content: the ledger's file; examined: what else the volume showed.
    disturbance: what should have disturbed the trial; disturbed: what did, which may be late_s late; began: the phases.
    """

    times: Times
    outage_s: float
    arrivals: Sequence[ledger.Arrival] = ()
    content: bytes | None = None
    answers: Sequence[liveness.Answer] = ()
    samples: dict[str, Sequence[hosts.State]] = field(default_factory=dict)
    changes: dict[str, Sequence[int]] = field(default_factory=dict)
    frames: Sequence[hosts.Frames] = ()
    visits: Sequence[service.Visit] = ()
    proof: dict[str, PostCheck] = field(default_factory=dict)
    examined: dict[str, Any] | None = None
    disturbance: str = NONE
    disturbed: Sequence[Disturbed] = ()
    late_s: float = LATE_S["qemu"]
    began: Sequence[Began] = ()


def statements(evidence: Evidence) -> list[Statement]:
    """What each witness says."""
    times, content = evidence.times, evidence.content
    if not content and service.unread(evidence.examined):
        content = None
    return [
        ledger.collected(evidence.arrivals, times),
        ledger.kept(evidence.arrivals, content),
        liveness.alive(evidence.answers, times),
        hosts.states(evidence.samples, evidence.changes, times),
        hosts.frames(evidence.frames, times, evidence.samples),
        service.website(evidence.visits, evidence.outage_s, times),
        *service.proved(evidence.proof),
        *service.volume(evidence.examined),
        *took_effect(evidence.disturbance, evidence.disturbed, times, evidence.late_s, evidence.began),
    ]


def judge(evidence: Evidence) -> Judgement:
    """The worst statement is the verdict. A witness that was not heard makes it "unknown", unless another saw worse.

    Where no migration was asked for, and nothing disturbed the guest, nothing is a migration's loss: the machine may
    have been too busy for anybody to be heard.
    """
    said = statements(evidence)
    worst = max((statement.verdict for statement in said), key=VERDICTS.index)
    lost = [
        f"{statement.witness}: {statement.text}"
        for statement in said
        if statement.verdict == worst not in ("intact", "unknown")
    ]
    unheard = [statement.witness for statement in said if statement.verdict == "unknown"]
    silent = ", ".join(text for text in unheard if text != DISTURBANCE)
    parts = [*lost, *([f"not known: {silent}"] if silent else []), *([MISSED] if DISTURBANCE in unheard else [])]
    if evidence.times.request is None and not any(row.effect_ns for row in evidence.disturbed):
        return Judgement("unknown", "; ".join(["no migration was asked for", *parts]), said)
    return Judgement(worst, "; ".join(parts) or "no witness saw a loss", said)
