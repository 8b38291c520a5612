"""RTP, or what looks like it, in UDP: loss by sequence number and RFC 3550's jitter."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from migrascope.metrics.qos.flows import Batch
from migrascope.metrics.qos.stretches import stretches
from migrascope.metrics.qos.tally import Tally, key_of
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
_FEW_FOR_CLOCK = 20


@dataclass(frozen=True, slots=True)
class Marks:
    """Of each packet: how many are missing right before it, or -1 where it fills such a gap late or comes twice; and
    the jitter estimate with it, s."""

    missed: Ints
    jitter_s: Floats


@dataclass
class Stream:
    """One synchronisation source in one direction. RFC 3550, A.1, A.3, A.8. clock: ticks per second, from the payload
    type or, where that is dynamic, from the first packets' own pace; None until it is known."""

    direction: int
    source: int
    kind: int
    clock: int | None = None
    assumed: bool = False
    received: int = 0
    first: int | None = None
    highest: int = 0
    consecutive: int = 0
    jitter_s: float = 0.0
    jitter_sum_s: float = 0.0
    transits: int = 0
    _last: tuple[int, int] | None = field(default=None, repr=False)

    @property
    def expected(self) -> int:
        return 0 if self.first is None else self.highest - self.first + 1

    @property
    def believable(self) -> bool:
        """Whether it behaves like a stream: enough packets, nearly all in a row."""
        return self.received >= FEWEST and self.consecutive >= 0.8 * (self.received - 1)

    def add(self, time_ns: Ints, seq: Ints, stamp: Ints) -> Marks:
        """Packets in the order in which they came: their stamps, sequence numbers (16 bits), time stamps (32 bits)."""
        base = self.highest if self.first is not None else int(seq[0]) + (1 << 16)
        steps = np.concatenate(([seq[0] - base], np.diff(seq))).astype(np.int16).astype(np.int64)
        extended = base + np.cumsum(steps)
        if self.first is None:
            self.first, self.highest = int(extended[0]), int(extended[0]) - 1
            steps[0] = 1
        self.consecutive += int(((steps >= 1) & (steps <= 3)).sum()) - (self.received == 0)
        self.received += len(seq)
        top = np.maximum.accumulate(np.concatenate(([self.highest], extended)))
        self.highest = int(top[-1])
        missed = np.where(extended > top[:-1], extended - top[:-1] - 1, -1)
        if self.clock is None:
            self._guess(time_ns, stamp)
        jitter = self._jitter(time_ns, stamp, self.clock) if self.clock is not None else np.full(len(seq), np.nan)
        return Marks(missed, jitter)

    def _guess(self, time_ns: Ints, stamp: Ints) -> None:
        if self.kind in _STATIC:
            self.clock = _STATIC[self.kind]
        elif len(time_ns) >= _FEW_FOR_CLOCK and time_ns[-1] > time_ns[0]:
            ticks = int(np.diff(stamp).astype(np.int32).astype(np.int64).sum())
            pace = ticks / ((time_ns[-1] - time_ns[0]) / 1e9)
            self.clock, self.assumed = int(_CLOCKS[np.argmin(np.abs(np.log(_CLOCKS / max(1.0, pace))))]), True

    def _jitter(self, time_ns: Ints, stamp: Ints, clock: int) -> Floats:
        """RFC 3550, 6.4.1: J += (|D| - J) / 16. The estimate with each packet; no number for the very first."""
        last = self._last or (int(time_ns[0]), int(stamp[0]))
        apart = np.diff(time_ns, prepend=last[0]) / 1e9 - np.diff(stamp, prepend=last[1]).astype(np.int32) / clock
        running, now = [], self.jitter_s
        for change in np.abs(apart).tolist():
            now += (change - now) * RFC3550_GAIN
            running.append(now)
        found = np.array(running)
        if self._last is None:
            found[0] = np.nan
        self.jitter_s = now
        self.jitter_sum_s += float(np.nansum(found))
        self.transits += int((~np.isnan(found)).sum())
        self._last = (int(time_ns[-1]), int(stamp[-1]))
        return found


class Rtp:
    """The streams of a capture, by direction and source; their losses and jitter by window go into the tally."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.streams: dict[tuple[int, int], Stream] = {}

    def add(self, batch: Batch, block: Bytes, captured: Ints, payload: Ints) -> None:
        """UDP packets of a batch: their transport headers (n, 20), how much of each is the file's, bytes carried."""
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
                self._tell(stream, time, stream.add(time, column(part, 2, 2), column(part, 4, 4)))

    def _stream(self, direction: int, source: int, kind: int) -> Stream | None:
        """The stream of that name; None where there are too many that behave like one."""
        key = (direction, source)
        if key not in self.streams and len(self.streams) >= MOST_STREAMS:
            self.streams = {name: stream for name, stream in self.streams.items() if stream.believable}
        if key not in self.streams and len(self.streams) >= MOST_STREAMS:
            return None
        return self.streams.setdefault(key, Stream(direction, source, kind))

    def _tell(self, stream: Stream, time_ns: Ints, marks: Marks) -> None:
        timed = ~np.isnan(marks.jitter_s)
        self._tally.add(
            key_of(np.full(len(time_ns), stream.direction), self._tally.window(time_ns)),
            {
                "streamed": np.ones(len(time_ns), dtype=np.int64), "missed": marks.missed,
                "timed": timed.astype(np.int64),
                "jitter_sum_ns": np.round(np.where(timed, marks.jitter_s, 0) * 1e9).astype(np.int64),
            },
        )  # fmt: skip

    def believable(self) -> dict[int, Stream]:
        """By direction its largest stream."""
        found = sorted(self.streams.values(), key=lambda stream: stream.received)
        return {stream.direction: stream for stream in found if stream.believable}


def _alike(block: Bytes, captured: Ints, payload: Ints) -> Bools:
    """Version 2, room for its header, and no RTCP (RFC 5761: types 64 to 95 with the marker bit)."""
    kind = block[:, _HEADER_AT + 1]
    control = (kind >= 192) & (kind <= 223)
    there = (captured >= _HEADER_AT + _HEADER) & (payload >= _HEADER)
    return np.asarray((block[:, _HEADER_AT] >> 6 == 2) & ~control & there, dtype=np.bool_)
