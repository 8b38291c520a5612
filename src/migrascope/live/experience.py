"""What earlier trials of a run tell of one that runs now: how much of its memory holds something, what it dirties."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from migrascope.live.history import History, Turn, empty_s
from migrascope.live.passage import Passage, ahead
from migrascope.live.sample import Sample
from migrascope.mechanism.rules import EMPTY_BPS
from migrascope.model.schedule import Factors

SPREAD, SPREAD_OF_OTHERS = 0.1, 0.5
"""How far the data of the first copy may be off, as a share: learnt of the same guest, or of another alone."""
SETTLE_S = 0.04
"""From the end of sending to a guest that runs: device state, start. 20 to 40 ms were seen on the QEMU lab."""


class Bounds(NamedTuple):
    """Between what a value may be expected."""

    least: float
    most: float

    def around(self, value: float) -> "Bounds":
        """Not without that value."""
        return Bounds(min(self.least, value), max(self.most, value))


ANY_SETTLE_S = Bounds(0.0, 0.12)
"""Nine of ten of 108 migrations lay between these, under TCG, on the QEMU lab and OpenStack, multifd apart."""
ANY_EMPTY_S = Bounds(0.0, 0.4e-9)
"""Nine of ten of 106, of those and with multifd."""
FEW = 3
"""Of fewer earlier migrations the spread is not known: what others showed counts with theirs."""
OUTSIDE = 0.05
"""The share of values that are left out on either side of their bounds."""

OWN_BYTES = 247_000_000
"""What QEMU's process holds beside its guest's memory, under TCG: 243 to 254 MB in 60 migrations of QEMU 10, guests of
512 MiB and 1 GiB that held 104 to 261 MB. Under KVM it is less, which is not measured."""

STOPPED = 0.5
"""A round for a larger share of which QEMU did not answer, and was then over, is that of a guest that was stopped."""


@dataclass(frozen=True)
class Past:
    """One earlier migration. lead_s: from the request to its first sample. first_copy: bytes of memory that
    held something. first_turn: its first look at the dirty bitmap, None where there was none. speed_Bps: bytes of
    memory a second. resident: bytes of the hypervisor's process before, None where not known. empty_s: seconds for a
    byte of empty memory. settle_s: from the end of sending to its end. Each None where it did not show."""

    factors: Factors
    lead_s: float
    first_copy: float
    first_turn: Turn | None
    speed_Bps: float | None
    resident: int | None = None
    empty_s: float | None = None
    settle_s: float | None = None
    passage: Passage | None = None


@dataclass(frozen=True)
class Known:
    """What is expected of a migration before it tells. Each None where nothing was learnt: first_copy: bytes of the
    first round that hold something; first_turn: what the first look at the bitmap will add; lead_s: from the request
    to the first sample; speed_Bps: bytes of memory a second. spread: how far first_copy may be off either way, as a
    share. empty_s: seconds for a byte of empty memory. settle_s: from the end of sending to the end. leads_s,
    empties_s, settles_s: between what these may be expected."""

    first_copy: float | None = None
    first_turn: Turn | None = None
    lead_s: float | None = None
    speed_Bps: float | None = None
    spread: float = SPREAD
    empty_s: float = 1 / EMPTY_BPS
    settle_s: float = SETTLE_S
    leads_s: Bounds | None = None
    empties_s: Bounds = ANY_EMPTY_S
    settles_s: Bounds = ANY_SETTLE_S
    passages: tuple[Passage, ...] = ()


NOTHING = Known()


def past(
    factors: Factors, samples: Sequence[Sample], resident: int | None = None, took_s: float | None = None
) -> Past | None:
    """Of a migration that is over, after took_s where that is known; None where not all of its memory went over once,
    or nobody counted it."""
    if not samples:
        return None
    history = History.of(samples[0])
    speeds = []
    for sample in samples[1:]:
        history = history.then(sample)
        if sample.state == "active" and (speed := history.speed_Bps()) is not None:
            speeds.append(speed)
    last = samples[-1]
    again = last.sent - last.total
    if not last.sent_is_exact or again < 0:
        return None
    held = last.sent - last.zero_bytes - again  # what is sent again holds something
    first, sent_s = samples[0], last.at_s - samples[0].at_s
    if not speeds and sent_s > 0:  # QEMU does not answer while it copies a guest that it has stopped at once
        speeds.append((held + again - (first.sent - first.zero_bytes)) / sent_s)
    speed = statistics.median(speeds) if speeds else None
    passage, empty, settle = Passage.of(samples), None, None
    if speed:
        seconds, zeros = empty_s(samples, speed)
        empty = seconds / zeros if zeros else None
        settle = _settle_s(samples, passage, speed, took_s) if took_s is not None else None
    return Past(
        factors,
        samples[0].at_s,
        held,
        _first_turn(history, samples, held),
        speed,
        resident,
        empty,
        settle,
        passage if passage.tells else None,
    )


def _settle_s(samples: Sequence[Sample], passage: Passage, speed: float, took_s: float) -> float | None:
    """How long its end came after the last of its memory, which is what was not sent yet when something was left for
    the last time. It went as such memory does, or at that speed where that tells too little."""
    sending = [sample for sample in samples[:-1] if sample.remaining]
    if not sending:
        return None
    last = sending[-1]
    data = (samples[-1].sent - samples[-1].zero_bytes) - (last.sent - last.zero_bytes)
    moved = ahead([passage], last.sent, last.rounds)
    return max(0.0, took_s - last.at_s - (data * moved.took_s / moved.data if moved.tells else data / speed))


def _first_turn(history: History, samples: Sequence[Sample], held: float) -> Turn | None:
    """The first look at the bitmap, where it tells how fast a guest writes that runs. It does not where the downtime
    limit let QEMU stop the guest at once: before the first copy was made, or for most of the round, in which QEMU does
    not answer."""
    if not history.turns:
        return None
    turn = history.turns[0]
    at = next(at for at, sample in enumerate(samples) if at and sample.at_s >= turn.at_s)
    before, seen = samples[at - 1], samples[at]
    stopped = seen.state != "active" and seen.at_s - before.at_s > STOPPED * turn.took_s
    return None if turn.left >= held or stopped else turn


def known(factors: Factors, pasts: Sequence[Past], resident: int | None = None) -> Known:
    """What earlier migrations of the same run tell of one with these factors; what the same guest did counts first,
    then the size of its process: beside that of another guest's, or without what such a process itself takes; at last
    what other guests held, but for what the plan has filled."""
    if not pasts:
        return NOTHING if resident is None else Known(max(1.0, resident - OWN_BYTES), spread=SPREAD_OF_OTHERS)
    same = [earlier for earlier in pasts if _guest(earlier.factors) == _guest(factors)]
    alike = [earlier for earlier in pasts if _content(earlier.factors) == _content(factors)]
    others = [earlier for earlier in pasts if earlier.resident is not None]
    own = max(0.0, statistics.median(earlier.first_copy - _given(earlier.factors) for earlier in pasts))
    copy = max(1.0, own + _given(factors))
    spread = SPREAD_OF_OTHERS * own / copy
    if alike:
        copy, spread = statistics.median(earlier.first_copy for earlier in alike), SPREAD
    elif resident is not None and others:
        beside = statistics.median(other.first_copy - other.resident for other in others if other.resident is not None)
        copy, spread = max(1.0, resident + beside), SPREAD
    turns = [earlier.first_turn for earlier in same if earlier.first_turn is not None]
    link = [earlier for earlier in pasts if _link(earlier.factors) == _link(factors)]
    policy = [earlier for earlier in pasts if earlier.factors.policy == factors.policy]
    mine = [earlier for earlier in same if earlier in link]
    lead_s = statistics.median(earlier.lead_s for earlier in pasts)
    empty_s = _empty_s_of(pasts)
    settle_s = _settle_s_of(factors, mine or link, policy)
    return Known(
        copy,
        turns[-1] if turns else None,
        lead_s,
        # how far memory is compressed, and what else the processors do meanwhile, is the guest's
        _median(each.speed_Bps for each in mine) or _median(each.speed_Bps for each in link),
        spread,
        empty_s,
        settle_s,
        _bounds([earlier.lead_s for earlier in pasts], Bounds((1 - SPREAD) * lead_s, (1 + SPREAD) * lead_s)),
        _bounds([earlier.empty_s for earlier in pasts], ANY_EMPTY_S).around(empty_s),
        _bounds([earlier.settle_s for earlier in policy], ANY_SETTLE_S).around(settle_s),
        tuple(earlier.passage for earlier in mine if earlier.passage is not None),
    )


def _empty_s_of(pasts: Sequence[Past]) -> float:
    """Seconds for a byte of empty memory. A few migrations in which it took long may have waited for something else:
    they count for no more than others showed, and with what is usual."""
    found = [earlier.empty_s for earlier in pasts if earlier.empty_s is not None]
    if len(found) < FEW:
        found = [NOTHING.empty_s, *(min(empty_s, ANY_EMPTY_S.most) for empty_s in found)]
    return statistics.median(found)


def _bounds(values: Iterable[float | None], others: Bounds) -> Bounds:
    """Between what all but the outermost of those lie that are known; of few with what others showed."""
    found = sorted(value for value in values if value is not None)
    if len(found) < FEW:
        return Bounds(min(*others, *found), max(*others, *found))
    out = OUTSIDE * (len(found) - 1)
    return Bounds(found[math.floor(out)], found[math.ceil(len(found) - 1 - out)])


def _settle_s_of(factors: Factors, link: Sequence[Past], policy: Sequence[Past]) -> float:
    """From the end of sending to the end, as on the same link, and no less than usual: less is an error of the speed.
    Of the same policy on another link what is more than usual: it stands in the sockets' buffers of multifd's channels,
    and leaves them as fast as the link carries."""
    if (found := _median(earlier.settle_s for earlier in link)) is not None:
        return max(SETTLE_S, found)
    more = _median(
        max(0.0, earlier.settle_s - SETTLE_S) * earlier.factors.link_bps / factors.link_bps
        for earlier in policy
        if earlier.settle_s is not None
    )
    return SETTLE_S + (more or 0.0)


def _median(values: Iterable[float | None]) -> float | None:
    """Of those that are known; None without any."""
    return statistics.median(found) if (found := [value for value in values if value is not None]) else None


def _content(factors: Factors) -> tuple[object, ...]:
    """The factors that decide what the guest's memory holds."""
    return (
        factors.scenario, factors.memory_bytes, factors.cache, factors.resident_bytes, factors.write_set_bytes,
        factors.disturbance,
    )  # fmt: skip


def _given(factors: Factors) -> int:
    """Bytes of its memory that the plan has filled."""
    return factors.resident_bytes + (factors.write_set_bytes if factors.write_Bps else 0)


def _guest(factors: Factors) -> tuple[object, ...]:
    """Those, and what decides how fast it writes."""
    return (*_content(factors), factors.write_Bps, factors.write_pattern, factors.vcpus)


def _link(factors: Factors) -> tuple[object, ...]:
    """The factors that decide how fast memory goes over."""
    return factors.link_bps, factors.policy, factors.disturbance
