"""The reflector's clock against ours, from the packets themselves, and how far that may be off.

A packet that went out and came back in the round trip r shows the offset of the reflector's clock up to r/2, whatever
share of r each way took (as NTP has it, RFC 5905). The least round trip of each second counts; a line through these
takes up what the clock drifts. While a guest stands still, so does its clock: before and after are two lines.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from migrascope.metrics.packets import Bools, Ints, Span
from migrascope.metrics.stamp.probes import Probes

BIN_NS = 1_000_000_000
FAST = 2
"""A second counts if its least round trip is at most so many times that of the fastest second."""
LINE_BINS = 3


@dataclass(frozen=True)
class Line:
    """Reflector's wall clock minus our monotonic one, ns: base_ns + shift_ns at at_ns (mono), rate more with each ns.
    bound_ns: how far that may be off where packets came through; bins: seconds that it rests on."""

    at_ns: int
    base_ns: int
    shift_ns: float
    rate: float
    bound_ns: float
    bins: int

    def offset(self, mono_ns: Ints) -> Ints:
        """The offset at these times, ns."""
        late = np.rint(self.shift_ns + self.rate * (np.asarray(mono_ns) - self.at_ns)).astype(np.int64)
        return np.asarray(self.base_ns + late, dtype=np.int64)


def line(sent: Ints, reflector_recv: Ints, reflector_sent: Ints, arrived: Ints) -> Line | None:
    """The clock from the four stamps of each packet; None without any.

    bound_ns is the largest, over the seconds that count, of half the round trip plus the line's distance.
    """
    if not len(sent):
        return None
    trips = (arrived - sent) - (reflector_sent - reflector_recv)
    base = int(reflector_recv[0] - sent[0])
    offsets = ((reflector_recv - sent - base) + (reflector_sent - arrived - base)) / 2
    at = int(sent[0])
    best = _best_of_each_second(sent, trips)
    best = best[trips[best] <= FAST * trips[best].min()]
    times = (sent[best] + arrived[best]) / 2 - at
    shift, rate = _fit(times, offsets[best], trips[best])
    distance = np.abs(offsets[best] - (shift + rate * times))
    return Line(at, base, shift, rate, float((trips[best] / 2 + distance).max()), len(best))


def _best_of_each_second(sent: Ints, trips: Ints) -> Ints:
    seconds = sent // BIN_NS
    order = np.lexsort((trips, seconds))
    _, first = np.unique(seconds[order], return_index=True)
    return np.asarray(order[first], dtype=np.int64)


def _fit(times: NDArray[np.float64], offsets: NDArray[np.float64], trips: Ints) -> tuple[float, float]:
    """Offset at time 0 and its rate: a line where there are enough seconds, else that of the fastest packet."""
    if len(times) < LINE_BINS:
        return float(offsets[np.argmin(trips)]), 0.0
    rate, shift = np.polyfit(times, offsets, 1)
    return float(shift), float(rate)


@dataclass(frozen=True)
class Clock:
    """The reflector's clock before and after the guest stood still over `pause` (mono ns); without a pause one line is
    both. None where no packet tells."""

    before: Line | None
    after: Line | None
    pause: Span | None

    @classmethod
    def of(cls, probes: Probes, pause: Span | None) -> "Clock":
        """From the packets that went out and came back on one side of the pause."""
        have = probes.answered
        stamps = [probes.sent_ns, *map(probes.of_answer, _stamps(probes))]
        if pause is None:
            whole = line(*(each[have] for each in stamps))
            return cls(whole, whole, None)
        early, late = have & (stamps[3] <= pause[0]), have & (stamps[0] >= pause[1])
        return cls(line(*(each[early] for each in stamps)), line(*(each[late] for each in stamps)), pause)

    def step_ns(self) -> tuple[float, float] | None:
        """How much the clock was set by over the pause, at its end, and how far that may be off."""
        if self.pause is None or self.before is None or self.after is None:
            return None
        end = np.array([self.pause[1]])
        step = self.after.offset(end)[0] - self.before.offset(end)[0]
        return float(step), self.before.bound_ns + self.after.bound_ns

    def delays(self, probes: Probes) -> "Delays":
        """The delay of each way of each packet that was answered."""
        sent, have = probes.sent_ns, probes.answered
        recv, back, arrived = map(probes.of_answer, _stamps(probes))
        out_late, back_late = (self._after(stamp, sent, arrived) for stamp in (recv, back))
        out, out_known = self._delay(recv, sent, out_late, 1)
        home, home_known = self._delay(back, arrived, back_late, -1)
        return Delays(out, have & out_known, out_late, home, have & home_known, back_late)

    def _after(self, stamp: Ints, sent: Ints, arrived: Ints) -> Bools:
        """Whether the reflector's stamp was taken after the pause. For a packet that was under way over the pause: if
        the clock of before would put it later than the pause's begin."""
        if self.pause is None:
            return np.zeros(len(sent), dtype=np.bool_)
        begin, end = self.pause
        late = sent >= end
        if self.before is not None:
            across = ~late & (arrived > begin)
            late |= across & (stamp - self.before.offset(np.full(len(sent), begin)) > begin)
        return np.asarray(late, dtype=np.bool_)

    def _delay(self, stamp: Ints, ours: Ints, late: Bools, sign: int) -> tuple[Ints, Bools]:
        delay, known = np.zeros(len(ours), dtype=np.int64), np.zeros(len(ours), dtype=np.bool_)
        for which, clock in ((~late, self.before), (late, self.after)):
            if clock is not None:
                delay[which] = sign * (stamp[which] - clock.offset(ours[which]) - ours[which])
                known[which] = True
        return delay, known


@dataclass(frozen=True)
class Delays:
    """One-way delays (ns) of packets in their order, known or not, and whether the reflector's stamp of that way is
    from after the pause."""

    out_ns: Ints
    out_known: Bools
    out_after: Bools
    back_ns: Ints
    back_known: Bools
    back_after: Bools


def _stamps(probes: Probes) -> tuple[Ints, Ints, Ints]:
    answers = probes.answers
    return answers.reflector_recv_ns, answers.reflector_sent_ns, answers.arrived_ns
