"""RTP, or what looks like it, in UDP: loss by sequence number and RFC 3550's jitter."""

from dataclasses import dataclass, field

import numpy as np

from migrascope.metrics.qos.flows import Batch
from migrascope.metrics.qos.stretches import stretches
from migrascope.store.pcap.frames import Bytes, Ints, column
from migrascope.store.pcap.layers import Bools

MOST_STREAMS = 4096
RFC3550_GAIN = 1 / 16
FEWEST = 16
_HEADER_AT, _HEADER = 8, 12
_STATIC = {6: 16000, 10: 44100, 11: 44100, 14: 90000, 16: 11025, 17: 22050}
_STATIC |= dict.fromkeys((0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18), 8000)
_STATIC |= dict.fromkeys((25, 26, 28, 31, 32, 33, 34), 90000)
_CLOCKS = np.array([8000, 11025, 16000, 22050, 32000, 44100, 48000, 90000])
_FEW_FOR_CLOCK = 20


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
    jitter_max_s: float = 0.0
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

    def add(self, time_ns: Ints, seq: Ints, stamp: Ints) -> None:
        """Packets in the order in which they came: their stamps, sequence numbers (16 bits), time stamps (32 bits)."""
        base = self.highest if self.first is not None else int(seq[0]) + (1 << 16)
        steps = np.concatenate(([seq[0] - base], np.diff(seq))).astype(np.int16).astype(np.int64)
        extended = base + np.cumsum(steps)
        before = np.concatenate(([base if self.first is not None else extended[0] - 1], extended[:-1]))
        if self.first is None:
            self.first = int(extended[0])
        self.consecutive += int(((extended - before >= 1) & (extended - before <= 3)).sum()) - (self.received == 0)
        self.received += len(seq)
        self.highest = max(self.highest, int(extended.max()))
        if self.clock is None:
            self._guess(time_ns, stamp)
        if self.clock is not None:
            self._jitter(time_ns, stamp, self.clock)

    def _guess(self, time_ns: Ints, stamp: Ints) -> None:
        if self.kind in _STATIC:
            self.clock = _STATIC[self.kind]
        elif len(time_ns) >= _FEW_FOR_CLOCK and time_ns[-1] > time_ns[0]:
            ticks = int(np.diff(stamp).astype(np.int32).astype(np.int64).sum())
            pace = ticks / ((time_ns[-1] - time_ns[0]) / 1e9)
            self.clock, self.assumed = int(_CLOCKS[np.argmin(np.abs(np.log(_CLOCKS / max(1.0, pace))))]), True

    def _jitter(self, time_ns: Ints, stamp: Ints, clock: int) -> None:
        """RFC 3550, 6.4.1: J += (|D| - J) / 16."""
        if self._last is not None:
            time_ns = np.concatenate(([self._last[0]], time_ns))
            stamp = np.concatenate(([self._last[1]], stamp))
        apart = np.diff(time_ns) / 1e9 - np.diff(stamp).astype(np.int32) / clock
        for change in np.abs(apart).tolist():
            self.jitter_s += (change - self.jitter_s) * RFC3550_GAIN
            self.jitter_max_s = max(self.jitter_max_s, self.jitter_s)
            self.jitter_sum_s += self.jitter_s
        self.transits += len(apart)
        self._last = (int(time_ns[-1]), int(stamp[-1]))


class Rtp:
    """The streams of a capture, by direction and source."""

    def __init__(self) -> None:
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
            key = (int(direction[begin]), int(source[begin]))
            if key not in self.streams and len(self.streams) >= MOST_STREAMS:
                self._forget()
            if key not in self.streams and len(self.streams) >= MOST_STREAMS:
                continue
            stream = self.streams.setdefault(key, Stream(*key, kind=int(head[begin, 1] & 0x7F)))
            part = slice(begin, end)
            stream.add(batch.time_ns[chosen[part]], column(head[part], 2, 2), column(head[part], 4, 4))

    def _forget(self) -> None:
        """Drops what turned out to be no stream."""
        self.streams = {key: stream for key, stream in self.streams.items() if stream.believable}

    def believable(self) -> list[Stream]:
        return [stream for stream in self.streams.values() if stream.believable]


def _alike(block: Bytes, captured: Ints, payload: Ints) -> Bools:
    """Version 2, room for its header, and no RTCP (RFC 5761: types 64 to 95 with the marker bit)."""
    kind = block[:, _HEADER_AT + 1]
    control = (kind >= 192) & (kind <= 223)
    there = (captured >= _HEADER_AT + _HEADER) & (payload >= _HEADER)
    return np.asarray((block[:, _HEADER_AT] >> 6 == 2) & ~control & there, dtype=np.bool_)
