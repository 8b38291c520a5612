"""RTP, or what looks like it, in UDP: loss by sequence number and RFC 3550's jitter."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from migrascope.qos.flows import Batch
from migrascope.qos.stretches import stretches
from migrascope.qos.tally import Tally, key_of
from migrascope.store.pcap.frames import Bytes, Ints, column
from migrascope.store.pcap.layers import Bools

Floats = NDArray[np.float64]
MOST_STREAMS = 4096
RFC3550_GAIN = 1 / 16
FEWEST = 16
_HEADER_AT, _HEADER = 8, 12
_STATIC = {6: 16000, 10: 44100, 11: 44100, 14: 90000, 16: 11025, 17: 22050}
_STATIC |= dict.fromkeys((0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18), 8000)
_STATIC |= dict.fromkeys((25, 26, 28, 31, 32, 33, 34), 90000)
_CLOCKS = np.array([8000, 11025, 16000, 22050, 32000, 44100, 48000, 90000])
_FEW_FOR_CLOCK, _MOST_FOR_CLOCK = 20, 2000
_LONG_FOR_CLOCK_NS = 100_000_000
_WILD = 1 << 28
_JUMP_S = 1.0
_DROPOUT, _MISORDER = 3000, 100


@dataclass(frozen=True, slots=True)
class Marks:
    """Of packets, in the order in which they came: stamps; how many are missing right before each, or -1 where it fills
    such a gap late or comes twice; and the jitter estimate with it, s."""

    time_ns: Ints
    missed: Ints
    jitter_s: Floats


@dataclass
class Stream:
    """One synchronisation source in one direction. RFC 3550, A.1, A.3, A.8. clock: ticks per second, from the payload
    type or, where that is dynamic, from the first packets' own pace; None until it is known. resets: how often the time
    stamps jumped, as those of a sender that began anew do."""

    direction: int
    source: int
    kind: int
    clock: int | None = None
    assumed: bool = False
    received: int = 0
    expected: int = 0
    resets: int = 0
    consecutive: int = 0
    jitter_s: float = 0.0
    jitter_sum_ns: int = 0
    transits: int = 0
    _last: tuple[int, int] | None = field(default=None, repr=False)
    _waiting: list[tuple[Ints, Ints, Ints]] = field(default_factory=list, repr=False)
    _begun: bool = False
    _number: int = 0
    _extended: int = 0
    _top: int = 0

    def __post_init__(self) -> None:
        self.clock = _STATIC.get(self.kind)

    @property
    def believable(self) -> bool:
        """Whether it behaves like a stream: enough packets and numbers, nearly all in a row."""
        return min(self.received, self.expected) >= FEWEST and self.consecutive >= 0.8 * (self.received - 1)

    def add(self, time_ns: Ints, seq: Ints, stamp: Ints) -> Marks | None:
        """Packets in the order in which they came: their stamps, sequence numbers (16 bits), time stamps (32 bits).
        None while there are too few to tell the clock: they are kept until there are more."""
        self._waiting.append((time_ns, seq, stamp))
        if not self._begun and not self._begin():
            return None
        return self.flush()

    def _begin(self) -> bool:
        """Whether the first packets are enough, FEWEST and, of a dynamic type, 0.1 s; their pace is the clock's. Which
        they are does not depend on how many came at once."""
        time_ns, stamp = (np.concatenate([part[at] for part in self._waiting]) for at in (0, 2))
        if len(time_ns) < _FEW_FOR_CLOCK:
            return False
        enough = np.flatnonzero(np.abs(time_ns[_FEW_FOR_CLOCK - 1 :] - time_ns[0]) >= _LONG_FOR_CLOCK_NS)
        if not len(enough) and len(time_ns) < _MOST_FOR_CLOCK:
            return False
        last = _FEW_FOR_CLOCK - 1 + (int(enough[0]) if len(enough) else _MOST_FOR_CLOCK - _FEW_FOR_CLOCK)
        if self.clock is None and time_ns[last] > time_ns[0]:
            ticks = np.diff(stamp[: last + 1]).astype(np.int32).astype(np.int64)
            pace = float(ticks[np.abs(ticks) < _WILD].sum()) / ((time_ns[last] - time_ns[0]) / 1e9)
            self.clock, self.assumed = int(_CLOCKS[np.argmin(np.abs(np.log(_CLOCKS / max(1.0, pace))))]), True
        self._begun = True
        return True

    def flush(self) -> Marks | None:
        """Counts the packets that have been kept; None where there are none."""
        if not self._waiting:
            return None
        time_ns, seq, stamp = (np.concatenate([part[at] for part in self._waiting]) for at in range(3))
        self._waiting.clear()
        fresh = self.received == 0
        if fresh:
            self._number = int(seq[0]) - 1
        steps = np.diff(seq, prepend=self._number & 0xFFFF).astype(np.int16).astype(np.int64)
        jitter, anew = self._jitter(time_ns, stamp)
        # where numbers and time stamps jump together the sender has begun anew, and nothing is missing
        anew &= (steps >= _DROPOUT) | (steps <= -_MISORDER)
        steps[anew] = 1
        extended = self._extended + np.cumsum(steps)
        top = np.maximum.accumulate(np.concatenate(([self._top], extended)))
        self.consecutive += int(((steps >= 0) & (steps <= 3)).sum()) - fresh
        self.received += len(seq)
        self.expected += int(top[-1] - top[0])
        self._top, self._extended, self._number = int(top[-1]), int(extended[-1]), int(seq[-1])
        missed = np.where(extended > top[:-1], extended - top[:-1] - 1, -1)
        return Marks(time_ns, missed, jitter)

    def _jitter(self, time_ns: Ints, stamp: Ints) -> tuple[Floats, Bools]:
        """(RFC 3550, 6.4.1: J += (|D| - J) / 16, the estimate with each packet, no number for the very first; where the
        time stamps jump, by 1 s more than time has passed). A jump is no jitter: the estimate goes on behind it."""
        if self.clock is None:
            return np.full(len(stamp), np.nan), np.zeros(len(stamp), dtype=np.bool_)
        last = self._last or (int(time_ns[0]), int(stamp[0]))
        passed = np.diff(time_ns, prepend=last[0]) / 1e9
        played = np.diff(stamp, prepend=last[1]).astype(np.int32) / self.clock
        anew = np.abs(played) > np.abs(passed) + _JUMP_S
        self.resets += int(anew.sum())
        running, now = [], self.jitter_s
        for change in np.where(anew, np.nan, np.abs(passed - played)).tolist():
            if change == change:
                now += (change - now) * RFC3550_GAIN
            running.append(now)
        found = np.array(running)
        found[anew] = np.nan
        if self._last is None:
            found[0] = np.nan
        self.jitter_s = now
        self.jitter_sum_ns += int(_rounded(found).sum())  # whole numbers: a sum of fractions depends on its parts
        self.transits += int((~np.isnan(found)).sum())
        self._last = (int(time_ns[-1]), int(stamp[-1]))
        return found, anew


class Rtp:
    """The streams of a capture, by direction and source; their losses and jitter by window go into the tally."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.streams: dict[tuple[int, int], Stream] = {}

    def add(self, batch: Batch, block: Bytes, captured: Ints, payload: Ints) -> None:
        """UDP packets of a batch: the begin of their transport headers (n, 32), how much of each is the file's, bytes
        carried."""
        chosen = np.flatnonzero(_alike(block, captured, payload))
        if not len(chosen):
            return
        head = block[chosen, _HEADER_AT : _HEADER_AT + _HEADER]
        source = column(head, 8, 4)
        direction = batch.flows[batch.group[chosen]] * 2 + batch.side[chosen]
        order = np.lexsort((source, direction))
        chosen, head, source, direction = chosen[order], head[order], source[order], direction[order]
        for begin, end in stretches(direction << 32 | source):
            stream = self._stream(int(direction[begin]), int(source[begin]), int(head[begin, 1] & 0x7F))
            if stream is not None:
                part, time = head[begin:end], batch.time_ns[chosen[begin:end]]
                self._tell(stream, stream.add(time, column(part, 2, 2), column(part, 4, 4)))

    def _stream(self, direction: int, source: int, kind: int) -> Stream | None:
        """The stream of that name; None where there are too many that behave like one."""
        key = (direction, source)
        if key not in self.streams and len(self.streams) >= MOST_STREAMS:
            self.streams = {name: stream for name, stream in self.streams.items() if stream.believable}
        if key not in self.streams and len(self.streams) >= MOST_STREAMS:
            return None
        return self.streams.setdefault(key, Stream(direction, source, kind))

    def _tell(self, stream: Stream, marks: Marks | None) -> None:
        if marks is None:
            return
        timed = ~np.isnan(marks.jitter_s)
        self._tally.add(
            key_of(np.full(len(marks.time_ns), stream.direction), self._tally.window(marks.time_ns)),
            {
                "streamed": np.ones(len(marks.time_ns), dtype=np.int64), "missed": marks.missed,
                "timed": timed.astype(np.int64),
                "jitter_sum_ns": _rounded(marks.jitter_s),
            },
        )  # fmt: skip

    def believable(self) -> dict[int, list[Stream]]:
        """By direction its streams, the largest first. At the end of the capture only: what was kept is counted."""
        found: dict[int, list[Stream]] = {}
        for stream in self.streams.values():
            self._tell(stream, stream.flush())
        for stream in sorted(self.streams.values(), key=lambda stream: (-stream.received, stream.source)):
            if stream.believable:
                found.setdefault(stream.direction, []).append(stream)
        return found


def _rounded(jitter_s: Floats) -> Ints:
    """In ns, 0 where there is none."""
    return np.round(np.nan_to_num(jitter_s) * 1e9).astype(np.int64)


def _alike(block: Bytes, captured: Ints, payload: Ints) -> Bools:
    """Version 2, room for its header, and no RTCP (RFC 5761: types 64 to 95 with the marker bit)."""
    kind = block[:, _HEADER_AT + 1]
    control = (kind >= 192) & (kind <= 223)
    there = (captured >= _HEADER_AT + _HEADER) & (payload >= _HEADER)
    return np.asarray((block[:, _HEADER_AT] >> 6 == 2) & ~control & there, dtype=np.bool_)
