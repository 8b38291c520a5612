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
    back = [host for host, rows in samples.items() if any(b.asked_ns < a.asked_ns for a, b in pairwise(rows))]
    if back:
        return Statement(STATES, "unknown", f"the stamps of {' and '.join(back)} go back")
    runs = {host: _running(rows, changes.get(host, ())) for host, rows in samples.items()}
    spans = sorted(
        span for combination, other in combinations(runs.values(), 2) for span in _overlaps(combination, other)
    )
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
    ran = [host for host, status in last.items() if status == "running"]
    short = [host for host, rows in samples.items() if _may_run(rows, changes.get(host, ()))]
    words = ", ".join(f"{host}: {status}" for host, status in last.items())
    if reason := times.unheard(heard):
        return Statement(STATES, "unknown", f"{words}; {reason}")
    if len(ran) > 1:
        return Statement(STATES, "unknown", f"{words}: both by their last answers, and one answer says little")
    if not ran and short:
        asked = f"{' and '.join(short)} ran but for a last answer or two"
        return Statement(STATES, "unknown", f"{words}; {asked}")
    if not ran:
        return Statement(STATES, "guest lost", f"it runs on no host at the end ({words})")
    return Statement(STATES, "intact", f"never running on two hosts; at the end {words}")


def at_end(samples: dict[str, Sequence[State]]) -> str | None:
    """The only host on which it runs by the last answers; None where none or several say so."""
    ran = [host for host, rows in samples.items() if rows and rows[-1].status == "running"]
    return ran[0] if len(ran) == 1 else None


def _may_run(rows: Sequence[State], changes: Sequence[int]) -> bool:
    """Whether a host that does not say "running" at the end may do so all the same: it said so until it left the last
    questions without an answer, or until one answer that no event goes with."""
    heard = [row for row in rows if row.status]
    if not heard:
        return False
    if heard[-1].status == "running":
        return _unanswered_ns(rows) < SILENT_NS
    before = heard[-2] if len(heard) > 1 else heard[-1]
    return before.status == "running" and not any(at >= before.asked_ns for at in changes)


def _unanswered_ns(rows: Sequence[State]) -> int:
    """How long the questions at the end had no answer, ns."""
    heard = max((row.answered_ns for row in rows if row.status), default=0)
    return max(0, rows[-1].asked_ns - heard) if rows else 0


def _running(rows: Sequence[State], changes: Sequence[int]) -> list[Span]:
    """Stretches in which a host was running for certain."""
    stamps = sorted(changes)
    return [
        (a.answered_ns, b.asked_ns)
        for a, b in pairwise(rows)
        if a.status == b.status == "running" and bisect_left(stamps, a.asked_ns) >= bisect_right(stamps, b.answered_ns)
    ]


def _overlaps(ours: Sequence[Span], others: Sequence[Span]) -> Iterable[Span]:
    """What stretches of two lists, each in order, have in common."""
    at = there = 0
    while at < len(ours) and there < len(others):
        (start, end), (other_start, other_end) = ours[at], others[there]
        if max(start, other_start) < min(end, other_end):
            yield max(start, other_start), min(end, other_end)
        at, there = (at + 1, there) if end < other_end else (at, there + 1)


def frames(rows: Iterable[Frames], times: Times, samples: dict[str, Sequence[State]] | None = None) -> Statement:
    """Whether frames of the instance came from one host at a time: those of one between two of another, not next to
    either, come from a second copy; a single such count may have been stamped late. samples: what the
    hypervisors said, which must name the host that the last frames came from, where both go by the same names."""
    recorded = list(rows)
    counted = sorted(set(recorded))
    sent = [row for row in counted if row.frames]
    nodes = list(dict.fromkeys(row.node for row in sent))
    between = _in_turn(sent)
    if between and not _by_one_count(sent):
        span = between[0].from_ns, max(row.until_ns for row in between)
        words = f"from {' and '.join(nodes)} in turn for {(span[1] - span[0]) / NS:.2f} s, {times.said(span[0])}"
        return times.statement(FRAMES, "two copies", words, span)
    if not counted:
        return Statement(FRAMES, "unknown", "the instance's frames were not counted")
    if between:
        words = f"from {' and '.join(nodes)} in turn but for one count, {times.said(between[0].from_ns)}"
        return Statement(FRAMES, "unknown", words)
    by_node = ([row.from_ns for row in recorded if row.node == node] for node in nodes)
    if any(stamps != sorted(stamps) for stamps in by_node):
        return Statement(FRAMES, "unknown", "the stamps of the counts go back")
    if reason := times.unheard(row.until_ns for row in sent):
        return Statement(FRAMES, "unknown", f"frames of the instance: {reason}")
    runs_on = at_end(samples or {})
    if samples and runs_on not in (None, sent[-1].node) and sent[-1].node in samples:
        words = f"the last came from {sent[-1].node}, while it runs on {runs_on} by the hypervisors"
        return Statement(FRAMES, "unknown", words)
    return Statement(FRAMES, "intact", f"frames of the instance came from {', then '.join(nodes)}")


def _in_turn(sent: Sequence[Frames]) -> list[Frames]:
    return sorted(row for node in dict.fromkeys(row.node for row in sent) for row in _between(sent, node))


def _by_one_count(sent: Sequence[Frames]) -> bool:
    """Whether without a single count the hosts would not have sent in turn: it may bear a wrong stamp."""
    alone = [
        at for at in range(len(sent))
        if all(sent[beside].node != sent[at].node for beside in (at - 1, at + 1) if 0 <= beside < len(sent))
    ]  # fmt: skip
    return any(not _in_turn([*sent[:at], *sent[at + 1 :]]) for at in alone)


def _between(sent: Sequence[Frames], node: str) -> Iterable[Frames]:
    """Stretches of other nodes that lie between two of this node, neighbours of neither."""
    own = [row for row in sent if row.node == node]
    ends, starts = [row.until_ns for row in own], [row.from_ns for row in own]
    for row in sent:
        if row.node == node:
            continue
        before, after = bisect_left(ends, row.from_ns) - 1, bisect_right(starts, row.until_ns)
        if before >= 0 and after < len(own) and starts[after] - ends[before] <= TOGETHER_NS:
            yield row
