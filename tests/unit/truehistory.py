"""A history of a migration that lost nothing, as each witness tells it, and its parts."""

from functools import cache
from typing import Any

from migrascope.metrics.verdict.hosts import Frames, State
from migrascope.metrics.verdict.judge import Evidence, judge
from migrascope.metrics.verdict.ledger import Arrival
from migrascope.metrics.verdict.liveness import Answer
from migrascope.metrics.verdict.service import Visit
from migrascope.metrics.verdict.spans import NS, Times
from migrascope.model.postcheck import PostCheck
from migrascope.model.verdict import Statement
from migrascope.model.witness import RECORD_BYTES, chained, record_line

TICK = NS // 10
REQUEST, OVER, END = 5 * NS, 7 * NS, 12 * NS
TIMES = Times(REQUEST, OVER)
BOOT = "b" * 32
CHECKS = ("place", "incarnation", "panic", "heartbeat", "memory", "site")
PASSED = {name: PostCheck("pass", "seen") for name in CHECKS}
EXAMINED: dict[str, Any] = {"fsck": {"code": 0, "text": "clean"}, "site": {"/a": "1"}, "expected": {"/a": "1"}}


def chain(count: int, start: int = 0, boot: str = "boot", ids: str = "", after: str = "00000000") -> list[Answer]:
    """Answers of one guest, one every tick, from counter start + 1 on."""
    answers = []
    for at in range(start, start + count):
        request = f"{ids}{at}"
        after = chained(after, request)
        answers.append(Answer(at * TICK, at * TICK + 1000, request, boot, at + 1, after))
    return answers


def book(count: int, start: int = 0, receipt: int = 0, given: int = 1, boot: str = BOOT) -> list[Arrival]:
    """Arrivals of one guest's records, one every tick, from number start + 1 on."""
    arrivals = []
    for at in range(start, start + count):
        arrivals.append(Arrival(at * TICK, at + 1, boot, receipt, given))
        receipt, given = given, given + 1
    return arrivals


_line = cache(record_line)


def file_of(arrivals: list[Arrival]) -> bytes:
    return b"".join(_line(*arrival.record) for arrival in arrivals) + bytes(5 * RECORD_BYTES)


def span(start: int, end: int, status: str = "running") -> list[State]:
    return [State(at, at + 1000, status) for at in range(start, end, TICK)]


def sent(start: int, end: int, node: str) -> list[Frames]:
    return [Frames(at, at + TICK // 2, node, 7) for at in range(start, end, TICK // 2)]


ARRIVALS = book(120)
TRUE = Evidence(
    times=TIMES,
    outage_s=3.0,
    arrivals=ARRIVALS,
    content=file_of(ARRIVALS),
    answers=chain(120),
    samples={
        "host-a": span(0, 6 * NS) + span(6 * NS, END, "postmigrate"),
        "host-b": span(0, 6 * NS, "inmigrate") + span(6 * NS, END),
    },
    changes={"host-a": [6 * NS - TICK // 2], "host-b": [6 * NS - TICK // 2]},
    frames=sent(0, 6 * NS, "host-a") + sent(6 * NS, END, "host-b"),
    visits=[Visit(at, at + 1000) for at in range(0, END, TICK)],
    proof=PASSED,
    examined=EXAMINED,
)


def of(verdict: str, evidence: Evidence) -> Statement:
    """The only statement that is not intact; its verdict is the trial's."""
    judgement = judge(evidence)
    (statement,) = [said for said in judgement.statements if said.verdict != "intact"]
    assert judgement.verdict == statement.verdict == verdict
    return statement
