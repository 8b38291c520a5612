"""Echo probes matched with their replies, as plain arrays: what every packet metric is computed from."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from migrascope.model.clock import WallClock
from migrascope.store.recording import Recording

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Span = tuple[int, int]
TMAX_NS = 3_000_000_000
STEP_NS = 1_000_000
NS = 1e9


def inside(stamps: Ints, span: Span) -> Bools:
    """Which stamps lie in [start, end)."""
    return np.asarray((stamps >= span[0]) & (stamps < span[1]), dtype=np.bool_)


def to_mono(clock: WallClock, walls: Ints, read_ns: Ints) -> Ints:
    """Mono ns of wall stamps, by the offset of the pair nearest to when each stamp was read (mono ns).

    Near in monotonic time, not in wall time: after a step back the wall clock shows the same time twice. Without any
    pair it is when they were read.
    """
    pairs = np.asarray(clock.pairs, dtype=np.int64).reshape(-1, 2)
    if not len(pairs):
        return read_ns
    at = np.clip(np.searchsorted(pairs[:, 0], read_ns), 1, max(1, len(pairs) - 1))
    left, right = at - 1, np.minimum(at, len(pairs) - 1)
    nearer = np.abs(pairs[right, 0] - read_ns) < np.abs(read_ns - pairs[left, 0])
    near = np.where(nearer, right, left)
    return np.asarray(walls - (pairs[near, 1] - pairs[near, 0]), dtype=np.int64)


@dataclass(frozen=True)
class Packets:
    """Probes in the order in which they were sent. arrived_ns is -1 where no reply ever came, end_ns where recording
    ended: a probe without reply that was sent less than Tmax before it is neither lost nor answered."""

    sent_ns: Ints
    arrived_ns: Ints
    end_ns: int

    @classmethod
    def match(cls, seq: Any, sent_ns: Any, reply_seq: Any, reply_ns: Any, end_ns: int) -> "Packets":
        """From arrays of requests and of replies (mono ns), any order; of several replies the first counts."""
        seq, sent = np.asarray(seq, dtype=np.int64), np.asarray(sent_ns, dtype=np.int64)
        reply_seq, reply = np.asarray(reply_seq, dtype=np.int64), np.asarray(reply_ns, dtype=np.int64)
        order = np.argsort(sent, kind="stable")
        seq, sent = seq[order], sent[order]
        arrived = np.full(len(sent), -1, dtype=np.int64)
        if len(sent) and len(reply):
            first = np.lexsort((reply, reply_seq))
            names, at = np.unique(reply_seq[first], return_index=True)
            stamps = reply[first][at]
            place = np.minimum(np.searchsorted(names, seq), len(names) - 1)
            known = names[place] == seq
            arrived[known] = stamps[place[known]]
        return cls(sent, arrived, end_ns)

    @classmethod
    def of(cls, recording: Recording, end_ns: int) -> "Packets":
        """The recording's echo probes, replies by the kernel's receive stamp."""
        sent, reply = recording.table("echo_sent"), recording.table("echo_reply")
        arrived = reply["recv_ns"].to_numpy()
        if reply.height:
            arrived = to_mono(recording.wall_clock, reply["recv_wall_ns"].to_numpy(), arrived)
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
