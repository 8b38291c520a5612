"""Silences as they happen: the definitions of metrics.network on the packets of the last minute."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from migrascope.metrics.echo import LATE_NS
from migrascope.metrics.gaps import Gap, Silences
from migrascope.metrics.packets import NS, Ints, Packets, Span
from migrascope.metrics.windows import SECOND
from migrascope.model.steady import OUTAGE_FACTOR

KEPT_NS = 60 * SECOND
"""So much is kept, and is what a silence is compared with."""
ONGOING_NS = SECOND
"""A silence that goes on is told when it is so long."""
NOTHING, ANSWERED, LATE, LOST = range(4)
RTT_EDGES_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper edges of the bins of round trips; one bin more holds what took longer."""
_MOST_DOUBTS = 16
_SURELY_SHORT = OUTAGE_FACTOR - 1
"""A silence of so many intervals is no outage, even if those of the last minute are a little shorter than the last
ones."""
_RTT_EDGES_NS = np.array([round(edge * NS) for edge in RTT_EDGES_S], dtype=np.int64)


@dataclass(frozen=True)
class Outage:
    """A gap that is longer than OUTAGE_FACTOR times the p99 of the minute before it, as every outage. lost: probes
    sent in it that were not answered. own_s: how long the prober did not send in it, although it should have; owned:
    whether what is left without that is no outage, or this machine's wall clock stepped in it."""

    gap: Gap
    lost: int
    own_s: float
    owned: bool


@dataclass(frozen=True)
class Tally:
    """All probes so far: sent, those that were answered within Tmax, how many of these later than LATE_NS, and those
    that are known to be lost; rtt_max_s: the longest round trip, rtt_sum_s: all of them together, rtt_bins: how many by
    RTT_EDGES_S; last_ns: when the last reply came (mono). None without one."""

    sent: int = 0
    answered: int = 0
    lost: int = 0
    rtt_max_s: float | None = None
    late: int = 0
    rtt_sum_s: float = 0.0
    rtt_bins: tuple[int, ...] = (0,) * (len(RTT_EDGES_S) + 1)
    last_ns: int | None = None


class Sliding:
    """The probes to one address. Its memory does not grow."""

    def __init__(self, rate: float, settle_s: float) -> None:
        """rate: probes a second. settle_s: so long after a moment, every reply that came until then is known."""
        self._settle_ns, self._interval_ns = round(settle_s * NS), NS / rate
        size = 1024 + 2 * round(rate * KEPT_NS / NS)
        self._sent: Ints = np.zeros(size, dtype=np.int64)
        self._arrived: Ints = np.full(size, -1, dtype=np.int64)
        self._first_seq = self._count = 0
        self._early: dict[int, int] = {}
        self._anchor: tuple[int, int] | None = None
        self._left_lost = 0
        self._left = Tally()
        self._doubtful: deque[Span] = deque(maxlen=_MOST_DOUBTS)
        self._told_ns = self._judged_ns = 0
        self._ongoing_ns: int | None = None

    def add(self, sent: Iterable[tuple[int, int]], replies: Iterable[tuple[int, int]]) -> None:
        """(seq, sent ns) of every probe, in their order, and (seq, arrived ns) of replies; mono ns. A reply may be
        added before its probe."""
        for seq, sent_ns in sent:
            if self._count == len(self._sent):
                self._drop(self._sent[self._count - 1] - KEPT_NS)
            if self._count == 0:
                self._first_seq = seq
            self._sent[self._count] = sent_ns
            self._arrived[self._count] = self._early.pop(seq, -1)
            self._count += 1
        for seq, arrived_ns in replies:
            at = seq - self._first_seq
            if at >= self._count:
                self._early.setdefault(seq, arrived_ns)
            elif at >= 0 and self._arrived[at] < 0:
                self._arrived[at] = arrived_ns

    def doubt(self, span: Span) -> None:
        """When replies came in the span is not known: this machine's wall clock, with which the kernel stamps them,
        stepped in it."""
        self._doubtful.append(span)

    def _drop(self, before_ns: int) -> None:
        """Forgets probes that were sent before a stamp, but for the last reply, with which a silence may begin, and
        half of all at least, for there is room for twice as many as are kept."""
        at = max(int(np.searchsorted(self._sent[: self._count], before_ns)), self._count // 2)
        gone = self._packets(slice(0, at), before_ns + KEPT_NS)
        self._left = self._tally(gone)
        if (gone.arrived_ns >= 0).any():
            last = int(np.argmax(gone.arrived_ns))
            self._anchor = int(gone.sent_ns[last]), int(gone.arrived_ns[last])
            self._left_lost = int((gone.rtt_ns[last + 1 :] < 0).sum())
        else:
            self._left_lost += at
        kept = self._count - at
        self._sent[:kept] = self._sent[at : self._count]
        self._arrived[:kept] = self._arrived[at : self._count]
        self._arrived[kept:] = -1
        self._first_seq += at
        self._count = kept

    def _packets(self, chosen: slice, end_ns: int) -> Packets:
        return Packets(self._sent[chosen], self._arrived[chosen], end_ns)

    def _known(self, known_ns: int) -> Packets:
        """The probes that are kept; recording ends at a stamp until which all is known."""
        sent, arrived = self._sent[: self._count], self._arrived[: self._count]
        if self._anchor is not None:
            sent = np.concatenate(([self._anchor[0]], sent))
            arrived = np.concatenate(([self._anchor[1]], arrived))
        return Packets(sent, arrived, known_ns)

    def finish(self) -> None:
        """Every reply that will ever be known has been added."""
        self._settle_ns = 0

    def look(self, now_ns: int) -> tuple[list[Outage], Outage | None]:
        """Outages that are over and were not given before, by time; and one that is not over, once, when it has lasted
        ONGOING_NS."""
        if self._steady(now_ns - self._settle_ns):
            return [], None
        packets, silences = self._silences(now_ns)
        found, self._judged_ns = [], silences.last_ns(packets.end_ns)
        for gap in silences.over(OUTAGE_FACTOR * packets.interval_ns, (self._told_ns, packets.end_ns)):
            # For an interval after the end it is open whether replies were held back.
            if not packets.interval_ns or not gap.ended or gap.end_ns + gap.interval_ns > packets.end_ns:
                self._judged_ns = gap.start_ns
                break
            self._told_ns = gap.start_ns + 1
            if outage := self._outage(packets, silences, gap):
                found.append(outage)
        return found, self._ongoing(packets, silences)

    def _steady(self, end_ns: int) -> bool:
        """Whether no silence until a stamp can be an outage that is not judged yet, as at most looks, by the last
        probes alone. Those that began before the reply of _judged_ns are judged; a reply that is missing here makes a
        silence longer, never shorter."""
        first = int(np.searchsorted(self._sent[: self._count], self._judged_ns - ONGOING_NS))
        sent, arrived = self._sent[first : self._count], self._arrived[first : self._count]
        came = np.sort(arrived[(arrived >= self._judged_ns) & (arrived <= end_ns)])
        if len(came) < 2 or (self._judged_ns and came[0] != self._judged_ns):
            return False
        spacing = min(float(np.median(np.diff(sent))), self._interval_ns)
        if max(int(np.diff(came).max()), end_ns - int(came[-1])) > _SURELY_SHORT * spacing:
            return False
        self._judged_ns = int(came[-1])
        return True

    def _ongoing(self, packets: Packets, silences: Silences) -> Outage | None:
        outage = self._unended(packets, silences)
        if outage is None or outage.owned or outage.gap.gap_s * NS < ONGOING_NS:
            return None
        if outage.gap.start_ns == self._ongoing_ns:
            return None
        self._ongoing_ns = outage.gap.start_ns
        return outage

    def unended(self, now_ns: int) -> Outage | None:
        """A silence that is not over; None without one."""
        return self._unended(*self._silences(now_ns))

    def _unended(self, packets: Packets, silences: Silences) -> Outage | None:
        if not silences.open or not packets.interval_ns:
            return None
        gap = silences.longest(silences.unended((0, packets.end_ns)))
        return None if gap is None else self._outage(packets, silences, gap)

    def _silences(self, now_ns: int) -> tuple[Packets, Silences]:
        packets = self._known(now_ns - self._settle_ns)
        return packets, Silences(packets)

    def _outage(self, packets: Packets, silences: Silences, gap: Gap) -> Outage | None:
        usual = silences.p99_ns((gap.start_ns - KEPT_NS, gap.start_ns)) or 0.0
        threshold = OUTAGE_FACTOR * max(usual, gap.interval_ns)
        if gap.gap_s * NS <= threshold:
            return None
        own_ns = self._own_ns((gap.start_ns - round(packets.quiet_rtt_ns + gap.interval_ns), gap.end_ns))
        sent = self._sent[: self._count]
        within = (sent > gap.start_ns - packets.quiet_rtt_ns) & (sent < gap.end_ns)
        lost = int((within & (self._arrived[: self._count] < 0)).sum())
        if self._anchor is not None and gap.start_ns <= self._anchor[1]:
            lost += self._left_lost
        doubtful = any(begin < gap.end_ns and end > gap.start_ns for begin, end in self._doubtful)
        return Outage(gap, lost, own_ns / NS, owned=doubtful or gap.gap_s * NS - own_ns <= threshold)

    def _own_ns(self, span: Span) -> float:
        """How much longer than their interval those spacings of the probes are that overlap the span, where at least
        one more probe belonged into them."""
        sent = self._sent[: self._count]
        if len(sent) < 2:
            return 0.0
        interval = float(np.median(np.diff(sent)))
        begins, ends = sent[:-1], sent[1:]
        spacing = (ends - begins)[(ends > span[0]) & (begins < span[1])]
        return float((spacing[spacing > 2 * interval] - interval).sum())

    def _tally(self, packets: Packets) -> Tally:
        rtt, before = packets.rtt_ns, self._left
        within = rtt >= 0
        came = rtt[within]
        longest = [float(came.max()) / NS] if len(came) else []
        if before.rtt_max_s is not None:
            longest.append(before.rtt_max_s)
        last = [int(packets.arrived_ns[within].max())] if len(came) else []
        if before.last_ns is not None:
            last.append(before.last_ns)
        bins = np.bincount(np.searchsorted(_RTT_EDGES_NS, came), minlength=len(before.rtt_bins))
        return Tally(
            before.sent + len(packets),
            before.answered + len(came),
            before.lost + int(packets.lost.sum()),
            max(longest, default=None),
            before.late + int((came > LATE_NS).sum()),
            before.rtt_sum_s + float(came.sum()) / NS,
            tuple(map(int, before.rtt_bins + bins)),
            max(last, default=None),
        )

    def tally(self, now_ns: int) -> Tally:
        """All probes since the begin."""
        return self._tally(self._packets(slice(0, self._count), now_ns))

    def recent(self, now_ns: int) -> Packets:
        """The probes of the last minute."""
        first = int(np.searchsorted(self._sent[: self._count], now_ns - KEPT_NS))
        return self._packets(slice(first, self._count), now_ns)

    def ribbon(self, now_ns: int, cells: int) -> list[int]:
        """The last minute in so many cells: NOTHING sent, or the worst of what became of their probes. One that waits
        for its reply counts when that would be late."""
        packets = self.recent(now_ns)
        cell_ns = KEPT_NS // cells
        place = packets.sent_ns // cell_ns - (now_ns // cell_ns - cells + 1)
        waits = (packets.rtt_ns < 0) & ~packets.lost
        pending = waits & (now_ns - packets.sent_ns < LATE_NS + self._settle_ns)
        state = np.where(packets.rtt_ns > LATE_NS, LATE, ANSWERED)
        state[waits] = LATE
        state[packets.lost] = LOST
        found = np.full(cells, NOTHING, dtype=np.int64)
        chosen = (place >= 0) & (place < cells) & ~pending
        np.maximum.at(found, place[chosen], state[chosen])
        return list(map(int, found))
