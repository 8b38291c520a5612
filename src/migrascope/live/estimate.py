"""The end of a migration by what its history says now, by itself: each estimate knows nothing of the one before."""

from dataclasses import dataclass
from typing import Literal

from migrascope.live.dirtied import fitted
from migrascope.live.experience import Known
from migrascope.live.history import History
from migrascope.live.sample import POST_COPY, SWITCHOVER
from migrascope.live.terms import Terms
from migrascope.mechanism.copying import Copy, Part, Way, course
from migrascope.mechanism.dirtying import Dirtying, WorkingSet
from migrascope.mechanism.rules import HEADER, PAGE, PAYLOAD, Judge, pace
from migrascope.model.units import human

Verdict = Literal["unknown", "ends", "late", "never"]
"""late: it would end, but it is cancelled before; never: it does not converge."""
SPREAD = 0.1
"""How far speed and dirty rate may be off either way, as a share: what makes the interval."""
LATELY_S = 1.5
"""The dirty rate is that of the last rounds that took so long together."""
EVIDENCE_ROUNDS = 3
EVIDENCE_S = 2.0
"""Rounds, and seconds since the first of them ended, before it is said that a migration does not converge."""
TELLING = 0.5
"""A round in which a larger share of what is written to must have become dirty says little of the rate: the most of it
was written again."""
STALLED_S = 0.5
"""After so long without a byte on the link no end is said."""
EMPTY_BYTES = 100e6
"""So much empty memory that was gone through tells as much of the rest as earlier migrations do."""
WHOLE = 0.999
"""Share of the guest's memory after which the first copy counts as made."""


@dataclass(frozen=True)
class Basis:
    """What an end was computed from. round: its number; begins_with: bytes it had to send at first. held: bytes of the
    guest's memory that hold something, as far as they matter still: 0 once the first copy is made."""

    round: int
    begins_with: int
    speed_Bps: float
    dirty_Bps: float
    held: float


@dataclass(frozen=True)
class Estimate:
    """end_s, low_s, high_s in seconds since the request, None where there is none within an hour (of high_s: where the
    interval is open). why: of a verdict that is not "ends". basis: None where there is nothing to compute an end
    from."""

    verdict: Verdict
    why: str = ""
    end_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    basis: Basis | None = None


@dataclass(frozen=True)
class _Rest:
    """What is still to be sent, by the least, the likely and the most; zeros: empty memory beside the likely."""

    least: float
    likely: float
    most: float
    zeros: float
    held: float


def estimate(history: History, terms: Terms, known: Known) -> Estimate:
    """From all that has been seen."""
    last = history.last
    speed, link = _speeds(history, terms, known)
    if history.stalled_s() >= STALLED_S:
        return Estimate("unknown", f"nothing has gone over for {history.stalled_s():.1f} s")
    if not speed:
        return Estimate("unknown", "no memory has gone over yet")
    rest = _rest(history, known)
    written = _written(history, terms, known)
    rate = sum(each.rate_Bps for each in written.sets)
    basis = Basis(history.rounds, _begins_with(history), speed, rate, rest.held)
    stopped = last.state in SWITCHOVER or last.state in POST_COPY
    empty_s = _empty_s(history, known, speed)

    def end(data: float, zeros: float, faster: float) -> float | None:
        if stopped:
            sent_s = last.at_s + data / (speed * faster) if data else last.at_s - history.stalled_s()
            return max(last.at_s, sent_s + known.settle_s)
        way = Way((link or speed) / speed, 1 / (speed * faster))
        copy = Copy(
            terms.rules, _parts(data, zeros, rest.held, way, written, faster, empty_s), way, known.settle_s,
            history.first.at_s, last.at_s, history.round_s, history.judge,
            pace(last.throttle, terms.busy) * (last.at_s - history.round_s), terms.busy, rounds=history.rounds,
        )  # fmt: skip
        return course(copy).time_s

    likely = end(rest.likely, rest.zeros, 1.0)
    early, high = end(rest.least, 0.0, 1 + SPREAD), end(rest.most, 0.0, 1 - SPREAD)
    # a guest that writes less may be slowed later, so that the better case need not end first
    low = min((value for value in (likely, early, high) if value is not None), default=None)
    high = max(likely, high) if likely is not None and high is not None else None
    threshold = terms.limit_s * (link or speed)
    if low is None and _stuck(history, terms, threshold):
        least = min(turn.remaining for turn in history.turns[-EVIDENCE_ROUNDS:])
        why = f"{human(threshold, 'B')} fit into the downtime limit, its rounds leave {human(least, 'B')} and more"
        return Estimate("never", why, basis=basis)
    if terms.deadline_s is not None and low is not None and low > terms.deadline_s:
        why = f"it is cancelled after {human(terms.deadline_s, 's')}"
        soonest_s = last.at_s + rest.least / (speed * (1 + SPREAD))
        if soonest_s > terms.deadline_s or _has_evidence(history):
            return Estimate("late", why, likely, low, high, basis)
    if likely is None:
        return Estimate("unknown", "by its rounds and rates it may not converge", None, low, None, basis)
    return Estimate("ends", "", likely, low, high, basis)


def expected(terms: Terms, known: Known) -> Estimate:
    """From earlier trials alone, before there is a sample."""
    if known.lead_s is None or not known.first_copy or not known.speed_Bps:
        return Estimate("unknown", "nothing has been sent yet")
    shape = _shape(terms, known.first_copy)
    written = shape if terms.known else _learnt(terms, known, shape)
    ends, zeros = [], max(0.0, terms.memory_bytes - known.first_copy)
    for faster in (1.0, 1 + SPREAD, 1 - SPREAD):
        way, begin_s = Way(1.0, 1 / (known.speed_Bps * faster)), known.lead_s / faster
        parts = _parts(known.first_copy, zeros, known.first_copy, way, written, faster, known.empty_s)
        copy = Copy(terms.rules, parts, way, known.settle_s, begin_s, begin_s, begin_s, Judge(begin_s), busy=terms.busy)
        ends.append(course(copy).time_s)
    likely, high = ends[0], ends[2]
    low = min((end for end in ends if end is not None), default=None)
    high = max(likely, high) if likely is not None and high is not None else None
    return Estimate("ends" if likely is not None else "unknown", "", likely, low, high)


def _parts(
    data: float, zeros: float, held: float, way: Way, written: Dirtying, faster: float, empty_s: float
) -> list[Part]:
    """The memory that is still to be sent: in the first copy the working sets are a part of it as of all that holds
    something (held bytes), later they are what is left at all."""
    zero = (HEADER + 1) / PAGE
    parts = [Part(zeros, Way(zero, zero * way.cost_s / way.wire + empty_s))]
    if not written.size:
        return [*parts, Part(data, way)]
    mine = data * min(1.0, written.size / held) if held else min(data, written.size)
    slower = written.times(1 / faster)
    sets = [Part(mine * each.size / slower.size, way, each) for each in slower.sets]
    return [*parts, Part(data - mine, way), *sets]


def _speeds(history: History, terms: Terms, known: Known) -> tuple[float | None, float | None]:
    """Bytes a second of memory and on the link. What seems to go over faster than the link is fills its buffers."""
    speed, link = history.speed_Bps(known.speed_Bps), history.link_Bps()
    if speed is None or link is None or terms.link_Bps is None or link <= PAYLOAD * terms.link_Bps:
        return speed, link
    return speed * PAYLOAD * terms.link_Bps / link, PAYLOAD * terms.link_Bps


def _empty_s(history: History, known: Known, speed: float) -> float:
    """Seconds for a byte of empty memory."""
    took, zeros = history.empty_s(speed)
    return (took + EMPTY_BYTES * known.empty_s) / (zeros + EMPTY_BYTES)


def _rest(history: History, known: Known) -> _Rest:
    last = history.last
    if not last.sent_is_exact or last.sent >= WHOLE * last.total:
        return _Rest(last.remaining, last.remaining, last.remaining, 0.0, 0.0)
    dealt = last.sent - last.zero_bytes
    dirtied = sum(turn.dirtied for turn in history.turns)
    if known.first_copy is None:
        share = dealt / last.sent if last.sent else 1.0
        likely = share * last.remaining
        return _Rest(0.0, likely, last.remaining, last.remaining - likely, dealt + likely)
    held = max(known.first_copy, float(dealt))
    least, likely, most = (
        min(float(last.remaining), max(0.0, share * held - dealt) + dirtied)
        for share in (1 - known.spread, 1.0, 1 + known.spread)
    )
    return _Rest(least, likely, most, last.remaining - likely, held)


def _written(history: History, terms: Terms, known: Known) -> Dirtying:
    """What the guest writes to, by its last rounds."""
    last = history.last
    shape = _shape(terms, known.first_copy or float(last.sent - last.zero_bytes))
    # where more was left than the guest writes to, nothing was clean that it could dirty
    turns = [turn for turn in history.lately(LATELY_S) if turn.left < shape.size]
    if not terms.known:
        return fitted(turns, shape, terms.busy) if turns else _learnt(terms, known, shape)
    if terms.write_Bps and last.written_Bps is not None:
        shape = shape.times(max(1.0, last.written_Bps) / pace(last.throttle, terms.busy) / terms.write_Bps)
    # chosen by how long they were, not by what they dirtied: else those would count in which the guest was slow
    telling = [
        turn for turn in turns if shape.within(pace(turn.throttle, terms.busy) * turn.took_s) < TELLING * shape.size
    ]
    return fitted(telling, shape, terms.busy) if telling else shape


def _learnt(terms: Terms, known: Known, shape: Dirtying) -> Dirtying:
    """What it wrote to in an earlier migration."""
    return fitted([known.first_turn], shape, terms.busy) if known.first_turn is not None else Dirtying()


def _shape(terms: Terms, held: float) -> Dirtying:
    """What it was seen to write to before, or is known to; else anywhere in what it holds, nobody knows how fast."""
    if terms.sampled.sets:
        return terms.sampled
    if terms.write_Bps:
        return Dirtying((WorkingSet(float(terms.write_set_bytes), terms.write_Bps),))
    return Dirtying((WorkingSet(held, 1.0),)) if held > 0 else Dirtying()


def _begins_with(history: History) -> int:
    return history.turns[-1].remaining if history.turns else history.first.remaining


def _stuck(history: History, terms: Terms, threshold: float) -> bool:
    """Whether its rounds show that it does not come nearer to its end, and nothing else will bring that about."""
    turns = history.turns[-EVIDENCE_ROUNDS:]
    if terms.helped or not _has_evidence(history):
        return False
    if terms.slows is not None and history.last.throttle < terms.slows.maximum / 100:
        return False
    return all(turn.remaining > threshold for turn in turns) and turns[-1].remaining >= turns[0].remaining * (
        1 - SPREAD
    )


def _has_evidence(history: History) -> bool:
    """Whether there were rounds enough to say what people will cancel it by."""
    return len(history.turns) >= EVIDENCE_ROUNDS and history.last.at_s - history.turns[0].at_s >= EVIDENCE_S
