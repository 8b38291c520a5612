"""Echo probes matched with their replies, as plain arrays: what every packet metric is computed from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from migrascope.model.clock import WallClock

if TYPE_CHECKING:  # `observe` counts packets, and never loads what reads tables
    from migrascope.store.recording import Recording

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Span = tuple[int, int]
TMAX_NS = 3_000_000_000
LATE_NS = 100_000_000
STEP_NS = 1_000_000
NS = 1e9
SLEW = 5e-4
"""A clock that is kept in time runs so much faster or slower at most (MAXFREQ, timex.h); what differs more was set."""


def inside(stamps: Ints, span: Span) -> Bools:
    """Which stamps lie in [start, end)."""
    return np.asarray((stamps >= span[0]) & (stamps < span[1]), dtype=np.bool_)


def by_nearest(clock: WallClock, walls: Ints, near_ns: Ints) -> Ints:
    """Mono ns of wall stamps by the offset of the pair nearest to near_ns (mono); near_ns without any pair. Next to a
    step of the wall clock they may be off by the step.

    Near in monotonic time, not in wall time: after a step back the wall clock shows the same time twice.
    """
    mono, offsets = _pairs(clock)
    if not len(mono):
        return near_ns
    at = np.clip(np.searchsorted(mono, near_ns), 1, max(1, len(mono) - 1))
    left, right = at - 1, np.minimum(at, len(mono) - 1)
    near = np.where(np.abs(mono[right] - near_ns) < np.abs(near_ns - mono[left]), right, left)
    return np.asarray(walls - offsets[near], dtype=np.int64)


def to_mono(clock: WallClock, walls: Ints, read_ns: Ints) -> Ints:
    """Mono ns of wall stamps that were read at read_ns (mono) as soon as they were made. Without any pair it is when
    they were read.

    Between two pairs the clock may have been set. By the pair on the wrong side of that a stamp is later than its
    reading, or earlier by the whole step: right is that by which it is latest and not after its reading.
    """
    found = by_nearest(clock, walls, by_nearest(clock, walls, read_ns))
    for span, early, late in _steps(clock, walls):
        among = _between(span, early, late) & (read_ns >= span[0])
        first, last = np.minimum(early, late), np.maximum(early, late)
        found = np.where(among, np.where(last <= read_ns, last, first), found)
    return np.asarray(found, dtype=np.int64)


def arrivals(clock: WallClock, walls: Ints, sent_ns: Ints, read_ns: Ints) -> Ints:
    """Mono ns of the wall stamps of replies, in the order in which they came, each to what was sent at sent_ns and read
    at read_ns (mono): some time later, for replies are read in batches.

    Where the wall clock was set between two pairs, the replies between them tell when: the moment is that for which
    most of their round trips are quiet ones, by less than half of the step.
    """
    found = by_nearest(clock, walls, by_nearest(clock, walls, read_ns))
    quiet = float(np.median(found - sent_ns)) if len(found) else 0.0
    for span, early, late in _steps(clock, walls):
        among = np.flatnonzero(_between(span, early, late) & (read_ns >= span[0]) & (sent_ns < span[1]))
        if not len(among):
            continue
        fits = [
            np.abs(stamps[among] - sent_ns[among] - quiet) < abs(int(early[0] - late[0])) / 2
            for stamps in (early, late)
        ]
        before = np.concatenate(([0], np.cumsum(fits[0])))
        after = np.concatenate((np.cumsum(fits[1][::-1])[::-1], [0]))
        at = int(np.argmax(before + after))
        found[among[:at]], found[among[at:]] = early[among[:at]], late[among[at:]]
    return found


def _pairs(clock: WallClock) -> tuple[Ints, Ints]:
    """Mono ns of the pairs, and wall minus mono at each."""
    pairs = np.asarray(clock.pairs, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1] - pairs[:, 0]


def _steps(clock: WallClock, walls: Ints) -> Iterator[tuple[Span, Ints, Ints]]:
    """Each span between two pairs in which the wall clock was set, with the stamps by the offset before and after."""
    mono, offsets = _pairs(clock)
    for at in np.flatnonzero(np.abs(np.diff(offsets)) > SLEW * np.diff(mono)).tolist():
        yield (int(mono[at]), int(mono[at + 1])), walls - offsets[at], walls - offsets[at + 1]


def _between(span: Span, early: Ints, late: Ints) -> Bools:
    """Which stamps may lie in the span."""
    return np.asarray(inside(early, span) | inside(late, span), dtype=np.bool_)


def sent_of(seq: Ints, sent_ns: Ints, reply_seq: Ints, read_ns: Ints) -> Ints:
    """When that was sent which each reply is to, by its number; of one to nothing, when it was read."""
    order = np.argsort(seq, kind="stable")
    place = np.minimum(np.searchsorted(seq[order], reply_seq), len(seq) - 1)
    known = seq[order][place] == reply_seq
    return np.asarray(np.where(known, sent_ns[order][place], read_ns), dtype=np.int64)


@dataclass(frozen=True)
class Packets:
    """Probes in the order in which they were sent. arrived_ns is -1 where no reply ever came, end_ns where recording
    ended: a probe without reply that was sent less than Tmax before it is neither lost nor answered. repeated_ns: when
    further replies came to probes that were answered already, in that order."""

    sent_ns: Ints
    arrived_ns: Ints
    end_ns: int
    repeated_ns: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @classmethod
    def match(cls, seq: Any, sent_ns: Any, reply_seq: Any, reply_ns: Any, end_ns: int) -> "Packets":
        """From arrays of requests and of replies (mono ns), any order; of several replies the first counts. One that
        seems to come before its request came at once: it shows how far two stamps can differ, and no loss."""
        seq, sent = np.asarray(seq, dtype=np.int64), np.asarray(sent_ns, dtype=np.int64)
        reply_seq, reply = np.asarray(reply_seq, dtype=np.int64), np.asarray(reply_ns, dtype=np.int64)
        order = np.argsort(sent, kind="stable")
        seq, sent = seq[order], sent[order]
        arrived = np.full(len(sent), -1, dtype=np.int64)
        repeated = np.empty(0, dtype=np.int64)
        if len(sent) and len(reply):
            first = np.lexsort((reply, reply_seq))
            names, at = np.unique(reply_seq[first], return_index=True)
            stamps, further = reply[first][at], np.delete(first, at)
            repeated = np.sort(reply[further[np.isin(reply_seq[further], seq)]])
            place = np.minimum(np.searchsorted(names, seq), len(names) - 1)
            known = names[place] == seq
            arrived[known] = np.maximum(stamps[place[known]], sent[known])
        return cls(sent, arrived, end_ns, repeated)

    @classmethod
    def of(cls, recording: "Recording", end_ns: int) -> "Packets":
        """The recording's echo probes, replies by the kernel's receive stamp."""
        sent, reply = recording.table("echo_sent"), recording.table("echo_reply")
        arrived = reply["recv_ns"].to_numpy()
        if reply.height and sent.height:
            asked = sent_of(sent["seq"].to_numpy(), sent["sent_ns"].to_numpy(), reply["seq"].to_numpy(), arrived)
            arrived = arrivals(recording.wall_clock, reply["recv_wall_ns"].to_numpy(), asked, arrived)
        return cls.match(sent["seq"].to_numpy(), sent["sent_ns"].to_numpy(), reply["seq"].to_numpy(), arrived, end_ns)

    @cached_property
    def interval_ns(self) -> float:
        """The probes' own spacing, the median of what was sent; 0 with fewer than two."""
        return float(np.median(np.diff(self.sent_ns))) if len(self.sent_ns) > 1 else 0.0

    @cached_property
    def rtt_ns(self) -> Ints:
        """Round trips; -1 where there is no reply within Tmax (RFC 7680: that probe is lost)."""
        rtt = self.arrived_ns - self.sent_ns
        return np.where((self.arrived_ns < 0) | (rtt > TMAX_NS), -1, rtt)

    @cached_property
    def lost(self) -> Bools:
        """Which probes are known to be lost."""
        return np.asarray((self.rtt_ns < 0) & (self.sent_ns + TMAX_NS <= self.end_ns), dtype=np.bool_)

    @cached_property
    def quiet_rtt_ns(self) -> float:
        """The median round trip; 0 where nothing was answered."""
        answered = self.rtt_ns[self.rtt_ns >= 0]
        return float(np.median(answered)) if len(answered) else 0.0

    @cached_property
    def silent_until_ns(self) -> int:
        """Up to when a silence at the end was seen: when the last probe should have been answered, or recording ended;
        0 without probes."""
        return min(int(self.sent_ns[-1]) + round(self.quiet_rtt_ns), self.end_ns) if len(self.sent_ns) else 0

    def __len__(self) -> int:
        return len(self.sent_ns)
