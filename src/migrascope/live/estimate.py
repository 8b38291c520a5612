"""The end of a migration by what its history says now, by itself: each estimate knows nothing of the one before."""

import statistics
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from migrascope.live.dirtied import fitted, grown, scatter
from migrascope.live.experience import Bounds, Known
from migrascope.live.history import History, Turn
from migrascope.live.sample import POST_COPY, SWITCHOVER
from migrascope.live.speed import expected_ways, ways
from migrascope.live.terms import Terms
from migrascope.mechanism.copying import Copy, Part, Way, course
from migrascope.mechanism.dirtying import Dirtying, WorkingSet
from migrascope.mechanism.rules import HEADER, PAGE, Judge, pace
from migrascope.model.units import human

Verdict = Literal["unknown", "ends", "late", "never"]
"""late: it would end, but it is cancelled before; never: it does not converge."""
SPREAD = 0.1
"""How far speed and dirty rate may be off either way, as a share: what makes the interval. The dirty rate by more where
the rounds scatter more."""
LATELY_S = 1.5
"""The dirty rate is that of the last rounds that took so long together."""
EVIDENCE_ROUNDS = 3
EVIDENCE_S = 2.0
"""Rounds, and seconds since the first of them ended, before it is said that a migration does not converge."""
LUCK = 4.0
"""Of what short rounds leave one in thirty thousand is so many standard deviations below the mean: of several hundred
before anybody gives up hardly one."""
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
    """What is still to be sent, by the least, the likely and the most that hold something, of all that is left; held:
    all that does. After the first copy that is all that is left."""

    least: float
    likely: float
    most: float
    all: float
    held: float


class _Case(NamedTuple):
    """data: bytes to be sent that hold something. faster: how many times as fast as is likely it is sent. written: what
    the guest writes to, for which it needs the share busy of its processor. empty_s: seconds for a byte of empty
    memory. settle_s: from the end of sending to the end."""

    data: float
    faster: float
    written: Dirtying
    busy: float
    empty_s: float
    settle_s: float


class _Mix(NamedTuple):
    """Of what is left, as shares of its data, mine: what belongs to the working sets; ahead: of that what was left at
    the last look, and goes first like all that does not belong to them. looked: whether there was a look."""

    mine: float
    ahead: float = 0.0
    looked: bool = False


def estimate(history: History, terms: Terms, known: Known) -> Estimate:
    """From all that has been seen."""
    last = history.last
    if history.stalled_s() >= STALLED_S:
        return Estimate("unknown", f"nothing has gone over for {history.stalled_s():.1f} s")
    seen = ways(history, terms, known)
    if seen is None:
        return Estimate("unknown", "no memory has gone over yet")
    speed = seen.speed_Bps
    rest = _rest(history, known)
    written = _written(history, terms, known)
    rate = sum(each.rate_Bps for each in written.sets)
    basis = Basis(history.rounds, _begins_with(history), speed, rate, rest.held)
    spread = max(SPREAD, scatter(history.lately(LATELY_S), written, terms.busy))
    mix = _mix(history, rest.held, written.size)
    # what its processor has to spare is known from its CPU time alone: it may have none
    calmer = _written(history, replace(terms, busy=1.0), known).times(1 / (1 + spread))
    worse = _written(history, terms.sparing, known).times(1 + spread)
    stopped = last.state in SWITCHOVER or last.state in POST_COPY
    byte_s = seen.rest.unbound_s if last.state in SWITCHOVER else seen.rest.cost_s

    def end(case: _Case) -> float | None:
        zeros = max(0.0, rest.all - case.data)
        if stopped:
            zero_s = (HEADER + 1) / PAGE * byte_s + case.empty_s
            sending_s = case.data * byte_s / case.faster + zeros * zero_s if rest.all else -history.stalled_s()
            return last.at_s + sending_s + case.settle_s
        go = seen.faster(case.faster)
        parts = _parts(case.data, zeros, mix, go.rest, case.written, case.empty_s)
        copy = Copy(
            terms.rules, parts, go.again, case.settle_s, history.first.at_s, last.at_s, history.round_s, history.judge,
            pace(last.throttle, case.busy) * (last.at_s - history.round_s), case.busy, rounds=history.rounds,
        )  # fmt: skip
        return course(copy).time_s

    likely, early, high = (
        end(_Case(data, faster, sets, busy, _empty_s(history, empty_s, speed), settle_s))
        for data, faster, sets, busy, empty_s, settle_s in (
            (rest.likely, 1.0, written, terms.busy, known.empty_s, known.settle_s),
            (rest.least, 1 + SPREAD, calmer, 1.0, known.empties_s.least, known.settles_s.least),
            (rest.most, 1 - SPREAD, worse, terms.sparing.busy, known.empties_s.most, known.settles_s.most),
        )
    )
    low, high = _interval(likely, early, high)
    if high is not None and high < last.at_s:
        high = None  # it takes longer than all that is known
    likely, low = (max(last.at_s, value) if value is not None else None for value in (likely, low))
    threshold = terms.limit_s * seen.again.wire / seen.again.cost_s
    denied = _denied(history, terms, threshold, low, last.at_s + rest.least / (speed * (1 + SPREAD)))
    if denied is not None:
        verdict, why = denied
        return Estimate(verdict, why, likely, low, high, basis)
    if likely is None:
        return Estimate("unknown", "by its rounds and rates it may not converge", None, low, None, basis)
    return Estimate("ends", "", likely, low, high, basis)


def _interval(likely: float | None, early: float | None, late: float | None) -> tuple[float | None, float | None]:
    """(low, high): a guest that writes less may be slowed later, so that the better case need not end first."""
    low = min((value for value in (likely, early, late) if value is not None), default=None)
    return low, max(likely, late) if likely is not None and late is not None else None


def _denied(
    history: History, terms: Terms, threshold: float, low: float | None, soonest_s: float
) -> tuple[Verdict, str] | None:
    """Why it will not end, or not in time; None where that cannot be said. low: its earliest end, None where there is
    none; soonest_s: when it would end if the guest wrote nothing more."""
    deadline_s = terms.deadline_s
    after = f"it is cancelled after {human(deadline_s, 's')}" if deadline_s is not None else ""
    if deadline_s is not None and (low is None or low > deadline_s):
        shown = low is not None and _has_evidence(history)
        if shown or soonest_s > deadline_s:
            return "late", after
    if low is None and _stuck(history, terms, threshold):
        least = min(turn.remaining for turn in _evidence(history))
        fits = f"{human(threshold, 'B')} fit into the downtime limit, its rounds leave {human(least, 'B')} and more"
        return "never", "; ".join(filter(None, (fits, after)))
    return None


def expected(terms: Terms, known: Known) -> Estimate:
    """From earlier trials alone, before there is a sample."""
    seen = expected_ways(terms, known)
    if known.lead_s is None or not known.first_copy or seen is None:
        return Estimate("unknown", "nothing has been sent yet")
    shape = _shape(terms, known.first_copy)
    written = shape if terms.known else _learnt(terms, known, shape)
    memory = max(terms.memory_bytes, known.first_copy)
    mix = _Mix(min(1.0, written.size / known.first_copy))
    leads_s = known.leads_s or Bounds(known.lead_s, known.lead_s)

    def end(lead_s: float, case: _Case) -> float | None:
        go = seen.faster(case.faster)
        parts = _parts(case.data, memory - case.data, mix, go.rest, case.written, case.empty_s)
        copy = Copy(terms.rules, parts, go.again, case.settle_s, lead_s, lead_s, lead_s, Judge(lead_s), busy=case.busy)
        return course(copy).time_s

    least, most = ((1 + sign * known.spread) * known.first_copy for sign in (-1, 1))
    likely = end(known.lead_s, _Case(known.first_copy, 1.0, written, terms.busy, known.empty_s, known.settle_s))
    calmer, worse = written.times(1 / (1 + SPREAD)), written.times(1 + SPREAD)
    early = end(leads_s.least, _Case(least, 1 + SPREAD, calmer, 1.0, known.empties_s.least, known.settles_s.least))
    late = end(
        leads_s.most,
        _Case(min(memory, most), 1 - SPREAD, worse, terms.sparing.busy, known.empties_s.most, known.settles_s.most),
    )
    low, high = _interval(likely, early, late)
    return Estimate("ends" if likely is not None else "unknown", "", likely, low, high)


def _parts(data: float, zeros: float, mix: _Mix, way: Way, written: Dirtying, empty_s: float) -> list[Part]:
    """The memory that is still to be sent."""
    zero = (HEADER + 1) / PAGE
    share = zero / way.wire
    nothing = Way(zero, share * way.cost_s + empty_s, share * way.bound_s)
    empty = Part(zeros, nothing, ahead=zeros if mix.looked else 0.0)
    mine = min(mix.mine * data, written.size)
    others = Part(data - mine, way, ahead=data - mine if mix.looked else 0.0)
    shares = [(each, each.size / written.size) for each in written.sets]
    ahead = min(mix.ahead * data, mine)
    return [empty, others, *(Part(share * mine, way, each, share * ahead) for each, share in shares)]


def _mix(history: History, held: float, size: float) -> _Mix:
    """Of working sets of this size: in the first copy what is left has as much of them as all that holds something
    (held bytes), and what a look adds is of them alone."""
    first = history.turns[0].held if history.turns else held
    others, old = (max(0.0, 1 - size / first) if first else 0.0), 0.0
    lefts = [*(turn.left for turn in history.turns[1:]), history.last.remaining]
    for turn, left in zip(history.turns, lefts, strict=False):
        older = max(0, turn.left - max(0, turn.remaining - left))
        old = min(older, left) / left if left else 0.0
        others *= old
    return _Mix(1 - others, max(0.0, old - others), bool(history.turns))


def _empty_s(history: History, expected_s: float, speed: float) -> float:
    """Seconds for a byte of empty memory, of which so many were expected."""
    took, zeros = history.empty_s(speed)
    return (took + EMPTY_BYTES * expected_s) / (zeros + EMPTY_BYTES)


def _rest(history: History, known: Known) -> _Rest:
    last = history.last
    if not last.sent_is_exact or last.sent >= WHOLE * last.total:
        return _Rest(last.remaining, last.remaining, last.remaining, last.remaining, 0.0)
    dealt = last.sent - last.zero_bytes
    dirtied = sum(turn.dirtied for turn in history.turns)
    if known.first_copy is None:
        share = dealt / last.sent if last.sent else 1.0
        likely = share * last.remaining
        return _Rest(0.0, likely, last.remaining, last.remaining, dealt + likely)
    held = max(known.first_copy, float(dealt))
    least, likely, most = (
        min(float(last.remaining), max(0.0, share * held - dealt) + dirtied)
        for share in (1 - known.spread, 1.0, 1 + known.spread)
    )
    return _Rest(least, likely, most, last.remaining, held)


def _written(history: History, terms: Terms, known: Known) -> Dirtying:
    """What the guest writes to, by its last rounds."""
    last = history.last
    shape = _shape(terms, known.first_copy or float(last.sent - last.zero_bytes))
    # where more was left than the guest writes to, or most of the first copy, hardly anything was clean that it could
    # dirty
    turns = [turn for turn in history.lately(LATELY_S) if turn.left < (turn.held / 2 or shape.size)]
    if not terms.known:
        return fitted(turns, shape, terms.busy) if turns else _learnt(terms, known, shape)
    if terms.write_Bps and last.written_Bps is not None:
        shape = shape.times(max(1.0, last.written_Bps) / pace(last.throttle, terms.busy) / terms.write_Bps)
    if terms.sampled.sets:
        return grown(turns, shape, terms.busy)
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
        return terms.writer
    return Dirtying((WorkingSet(held, 1.0),)) if held > 0 else Dirtying()


def _begins_with(history: History) -> int:
    return history.turns[-1].remaining if history.turns else history.first.remaining


def _stuck(history: History, terms: Terms, threshold: float) -> bool:
    """Whether its rounds show that it does not come nearer to its end, nothing else will bring that about, and it will
    not come to it by luck: their scatter does not reach the threshold."""
    if terms.helped or not _has_evidence(history):
        return False
    if terms.slows is not None and history.last.throttle < terms.slows.maximum / 100:
        return False
    left = [turn.remaining for turn in _evidence(history)]
    half = len(left) // 2
    falls = statistics.mean(left[-half:]) < (1 - SPREAD) * statistics.mean(left[:half])
    luckiest = min(*left, statistics.mean(left) - LUCK * statistics.stdev(left))
    return luckiest > threshold and not falls


def _evidence(history: History) -> tuple[Turn, ...]:
    """The rounds by which it is said that it does not converge: the last ones, of no less time and number."""
    return max(history.turns[-EVIDENCE_ROUNDS:], history.lately(EVIDENCE_S), key=len)


def _has_evidence(history: History) -> bool:
    """Whether there were rounds enough to say what people will cancel it by."""
    return len(history.turns) >= EVIDENCE_ROUNDS and history.last.at_s - history.turns[0].at_s >= EVIDENCE_S
