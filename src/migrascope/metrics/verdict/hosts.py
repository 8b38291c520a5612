"""The hypervisors' own states of both sides, and the frames that leave them, on one clock."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from migrascope.metrics.verdict.spans import NS, Times
from migrascope.model.verdict import Statement

STATES, FRAMES = "hypervisors", "frames"
SILENT_NS = NS
"""Time without an answer from which on a hypervisor that has answered until then is gone. One missing answer makes
nobody lost."""
TOGETHER_NS = 2 * NS
"""Frames of a host between two of another's count as two senders only if those two are no further apart."""


class State(NamedTuple):
    """What a host's hypervisor said of the instance; status is empty where it did not answer."""

    asked_ns: int
    answered_ns: int
    status: str


class Frames(NamedTuple):
    """How many frames of the instance came from a node in a stretch of time."""

    from_ns: int
    until_ns: int
    node: str
    frames: int


Span = tuple[int, int]


def states(samples: dict[str, Sequence[State]], changes: dict[str, Sequence[int]], times: Times) -> Statement:
    """Whether the instance ran on one host at a time, and runs at the end.

    samples: each host's states in the order in which they were asked for. changes: stamps (ns) at which a host's
    hypervisor said that it stopped or resumed; between two answers "running" without one of these, it ran.
    """
    runs = {host: _running(rows, changes.get(host, ())) for host, rows in samples.items()}
    both = [_overlap(a, b) for one, other in combinations(runs.values(), 2) for a in one for b in other]
    spans = sorted(span for span in both if span is not None)
    if spans:
        span = spans[0][0], max(end for _, end in spans)
        words = (
            f"running on {' and '.join(samples)} at once for {(span[1] - span[0]) / NS:.2f} s, {times.said(span[0])}"
        )
        return times.statement(STATES, "two copies", words, span)
    heard = [row.answered_ns for rows in samples.values() for row in rows if row.status]
    if not heard:
        return Statement(STATES, "unknown", "no hypervisor was asked, or none answered")
    last = {host: rows[-1].status or "no answer" for host, rows in samples.items() if rows}
    short = [host for host, rows in samples.items() if _unanswered_ns(rows) < SILENT_NS and _heard(rows) == "running"]
    words = ", ".join(f"{host}: {status}" for host, status in last.items())
    if reason := times.unheard(heard):
        return Statement(STATES, "unknown", f"{words}; {reason}")
    if "running" not in last.values() and short:
        asked = f"{' and '.join(short)} ran when last heard, and a last question or two had no answer"
        return Statement(STATES, "unknown", f"{words}; {asked}")
    if "running" not in last.values():
        return Statement(STATES, "guest lost", f"it runs on no host at the end ({words})")
    return Statement(STATES, "intact", f"never running on two hosts; at the end {words}")


def _heard(rows: Sequence[State]) -> str:
    """The last state that a host's hypervisor said; empty where it never did."""
    return next((row.status for row in reversed(rows) if row.status), "")


def _unanswered_ns(rows: Sequence[State]) -> int:
    """How long the questions at the end had no answer, ns."""
    heard = max((row.answered_ns for row in rows if row.status), default=0)
    return max(0, rows[-1].asked_ns - heard) if rows else 0


def _running(rows: Sequence[State], changes: Sequence[int]) -> list[Span]:
    """Stretches in which a host was running for certain."""
    return [
        (a.answered_ns, b.asked_ns)
        for a, b in pairwise(rows)
        if a.status == b.status == "running" and not any(a.asked_ns <= at <= b.answered_ns for at in changes)
    ]


def _overlap(a: Span, b: Span) -> Span | None:
    start, end = max(a[0], b[0]), min(a[1], b[1])
    return (start, end) if start < end else None


def frames(rows: Iterable[Frames], times: Times) -> Statement:
    """Whether frames of the instance came from one host at a time: those of one between two of another, not next to
    either, come from a second copy."""
    counted = sorted(rows)
    sent = [row for row in counted if row.frames]
    nodes = list(dict.fromkeys(row.node for row in sent))
    between = sorted(row for node in nodes for row in _between(sent, node))
    if between:
        span = between[0].from_ns, max(row.until_ns for row in between)
        words = f"from {' and '.join(nodes)} in turn for {(span[1] - span[0]) / NS:.2f} s, {times.said(span[0])}"
        return times.statement(FRAMES, "two copies", words, span)
    if not counted:
        return Statement(FRAMES, "unknown", "the instance's frames were not counted")
    if reason := times.unheard(row.until_ns for row in sent):
        return Statement(FRAMES, "unknown", f"frames of the instance: {reason}")
    return Statement(FRAMES, "intact", f"frames of the instance came from {', then '.join(nodes)}")


def _between(sent: Sequence[Frames], node: str) -> Iterable[Frames]:
    """Stretches of other nodes that lie between two of this node, neighbours of neither."""
    own = [row for row in sent if row.node == node]
    ends, starts = [row.until_ns for row in own], [row.from_ns for row in own]
    for row in sent:
        before, after = bisect_left(ends, row.from_ns) - 1, bisect_right(starts, row.until_ns)
        if row.node != node and before >= 0 and after < len(own) and starts[after] - ends[before] <= TOGETHER_NS:
            yield row
