"""Where the time of a network blackout goes: named steps, one after another, and what none of them explains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrascope.metrics import floating_ip, ovn, wiring
from migrascope.metrics.hostclock import STAMP_NS
from migrascope.metrics.network import migration_gap
from migrascope.metrics.packets import NS, Packets, Span, inside
from migrascope.metrics.steps import Edge
from migrascope.metrics.windows import Windows
from migrascope.model.family import FIRST
from migrascope.model.measured import Measured, missing, summed
from migrascope.store.recording import Recording

STEPS = {
    "before_stop": "until the source stops",
    "pause": "the VM stands still",
    "announce": "until QEMU's RARP is at the destination's tap",
    "activation": "until ovn-controller has seen it and says so, or the port is the destination's without it",
    "flows": "until the flows that kept the port's frames back are gone",
    "delivery": "until the first frame for the instance is at the destination's tap",
    "answer": "until the instance sends its own frames, among them the answer",
    "claim": "until the destination answers for the distributed floating IP",
    "move": "until the external network has a frame of the floating IP's from the destination",
    "routing": "until these are at the router's outer port",
    "repeats": "until the instance has answered again what its source had answered already",
}
UNEXPLAINED = "unexplained"
KEYS = tuple(f"blackout_step_s.{name}" for name in (*STEPS, UNEXPLAINED))
SOURCE = "echo, qmp_event, announce, ovn"
NOT_HELD = "no OVN held the port back until a RARP"
NOT_AWAITED = "nothing waited for a floating IP to move"
NOT_REPEATED = "the instance answered nothing again"


@dataclass(frozen=True)
class Piece:
    """A stretch of the blackout: its length, the parts of its error, ns, and which tables told its ends."""

    length_ns: float
    errors_ns: Mapping[str, float]
    sources: tuple[str, ...]

    @classmethod
    def between(cls, first: Edge, last: Edge) -> "Piece":
        errors = {} if first is last else summed(first.errors_ns.items(), last.errors_ns.items())
        return cls(last.ns - first.ns, errors, (first.source, last.source))

    def __add__(self, other: "Piece") -> "Piece":
        errors = summed(self.errors_ns.items(), other.errors_ns.items())
        return Piece(self.length_ns + other.length_ns, errors, self.sources + other.sources)


def split(begin: Edge, ends: Sequence[tuple[str, Edge | None]], over: Edge) -> tuple[dict[str, Piece], Piece]:
    """The length of each step, and of what is left of the blackout: together they are all of it.

    ends: where each step ends, in their order; each begins where the one before ended, and one that is there twice is
    as long as both. A step whose end came before that took nothing, and what comes after the blackout is no part of it.
    Where nothing showed an end (None), neither that step has a length nor the next one, and their time is left
    unexplained.
    """
    found: dict[str, Piece] = {}
    rest, at, seen = Piece(0.0, {}, ()), begin, True
    for name, edge in ends:
        if edge is None:
            seen = False
            continue
        end = at if edge.ns <= at.ns else over if edge.ns >= over.ns else edge
        if seen:
            piece = Piece.between(at, end)
            found[name] = found[name] + piece if name in found else piece
        else:
            rest += Piece.between(at, end)
        at, seen = end, True
    return found, rest + Piece.between(at, over)


def measure(
    recording: Recording, packets: Packets, windows: Windows, found: Mapping[str, Measured]
) -> dict[str, Measured]:
    """blackout_step_s.NAME of each step, and of what none explains, over the recording's family: its answer is its own,
    the pause, the announcement and what OVN does to the port are the same for both. found holds network_blackout_s over
    that family, and vm_pause_s."""
    gap, path = migration_gap(packets, windows), wiring.path(recording, windows, recording.family)
    if gap is None or path is None or windows.stop is None or windows.resume is None:
        why = "nobody followed the instance's frames" if path is None else "no blackout was seen around the switchover"
        return {key: missing("s", SOURCE, why) for key in KEYS}
    stamped, wired = _ns(found["vm_pause_s"]), ovn.wired(recording, windows)
    clock_ns = recording.wall_clock.worst_step_ns()
    ends: list[tuple[str, Edge | None]] = [
        ("before_stop", Edge(windows.stop, "qmp_event", stamped)),
        ("pause", Edge(windows.resume, "qmp_event", stamped)),
        ("announce", _frame(path.announced, clock_ns)),
        *held(wired, path.came),
        ("delivery", _frame(path.came, clock_ns)),
        ("answer", _frame(path.spoke, clock_ns)),
        *awaited(path.router, wired, _floating(recording, windows), clock_ns),
        ("routing", _frame(path.router, clock_ns)),
    ]
    # A guest may send something else first, and be silent again until it answers; where its requests came to both hosts
    # while it moved, it answers those again before others.
    repeated = packets.repeated_ns[inside(packets.repeated_ns, (windows.resume, gap.end_ns))].tolist()
    since = 0
    if repeated:
        ends += _again(recording, path, (since, repeated[0]), clock_ns)
        since = repeated[-1]
        ends.append(("repeats", Edge(since, "echo", {"resolution": float(STAMP_NS), "clock": clock_ns})))
    ends += _again(recording, path, (since, gap.end_ns), clock_ns)
    half = {"resolution": packets.interval_ns / 2}
    late = {name: error for name, error in _ns(found["network_blackout_s"]).items() if name != "resolution"}
    over = Edge(gap.over_ns, "echo", late if gap.late else {**late, **half})
    pieces, rest = split(Edge(gap.begun_ns, "echo", half), ends, over)
    steps = {
        f"blackout_step_s.{name}": _length(pieces[name]) if name in pieces else missing("s", SOURCE, _why(name, ends))
        for name in STEPS
    }
    return steps | {f"blackout_step_s.{UNEXPLAINED}": _length(rest).censored(not gap.ended)}


def _again(recording: Recording, path: wiring.Path, span: Span, clock_ns: float) -> list[tuple[str, Edge | None]]:
    """The ends of answer and routing where the instance was silent and began to send again in that time."""
    again = wiring.answering(recording, path, span[1])
    if again is None or again[0] <= span[0]:
        return []
    return list(zip(("answer", "routing"), (_frame(stamp, clock_ns) for stamp in again), strict=True))


def _frame(ns: int | None, clock_ns: float) -> Edge | None:
    errors = {"resolution": float(STAMP_NS), "clock": clock_ns}
    return Edge(ns, wiring.SOURCE, errors) if ns is not None else None


def held(wired: ovn.Wired | None, came_ns: int | None) -> list[tuple[str, Edge | None]]:
    """The ends of the steps that there are only where OVN holds the port back until a RARP; or, where none is seen,
    until the destination is the port's chassis, by a stamp that may be late by its error. came_ns: when the first frame
    for the instance came to the destination's tap, by which frames were let through also where nothing showed the flows
    go: with a switch that was down they were gone."""
    if wired is None or not wired.held:
        return []
    activated, unblocked, switched = (wired.stamps.get(name) for name in ("activated", "unblocked", "switched"))
    if activated is None:
        passed_ns = unblocked.ns if unblocked is not None else came_ns
        if switched is not None and passed_ns is not None and switched.earliest_ns <= passed_ns:
            activated = switched
    elif unblocked is not None and unblocked.ns < activated.ns:
        activated = unblocked  # without it no flows go; a database that hangs tells of it later
    edges = (
        Edge(stamp.ns, ovn.TABLE, stamp.errors_ns) if stamp is not None else None for stamp in (activated, unblocked)
    )
    return list(zip(("activation", "flows"), edges, strict=True))


def _floating(recording: Recording, windows: Windows) -> floating_ip.Moved | None:
    """What was seen of a floating IP that moves with the instance; of IPv6 there is none."""
    return floating_ip.moved(recording, windows) if recording.family == FIRST else None


def awaited(
    out_ns: int | None, wired: ovn.Wired | None, moved: floating_ip.Moved | None, clock_ns: float
) -> list[tuple[str, Edge | None]]:
    """The ends of the steps that there are only where the instance's packets have to wait for its floating IP: none
    where they were out, by the source or the router's gateway, before the destination answered for it. out_ns: when the
    first of them was at a port of the external network."""
    if moved is None:
        return []
    claimed = wired.stamps.get("floating") if wired is not None else None
    if claimed is not None and out_ns is not None and out_ns < claimed.ns:
        return []
    claim = Edge(claimed.ns, ovn.TABLE, claimed.errors_ns) if claimed is not None else None
    return [("claim", claim), ("move", _frame(moved.came, clock_ns))]


def _why(name: str, ends: Sequence[tuple[str, Edge | None]]) -> str:
    edges = [edge for of, edge in ends if of == name]
    if not edges:
        return {"claim": NOT_AWAITED, "move": NOT_AWAITED, "repeats": NOT_REPEATED}.get(name, NOT_HELD)
    return f"nothing showed its {'end' if edges[0] is None else 'beginning'}"


def _ns(measured: Measured) -> dict[str, float]:
    return {name: error * NS for name, error in measured.errors}


def _length(piece: Piece) -> Measured:
    errors = {name: error / NS for name, error in piece.errors_ns.items()}
    source = ", ".join(dict.fromkeys(piece.sources))
    return Measured(round(piece.length_ns / NS, 6), "s", source, samples=1).within(**errors)
