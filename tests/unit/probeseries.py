"""Probes as plain lists, drawn at random."""

import random
import struct
from dataclasses import dataclass
from itertools import accumulate, pairwise

from hypothesis import strategies as st

from migrascope.metrics.packets import TMAX_NS, Packets
from migrascope.metrics.windows import Windows

MS = 1_000_000
INTERVAL = 2 * MS


@dataclass
class Sample:
    """Probes as lists: sent, and the arrival or None."""

    sent: list[int]
    arrived: list[int | None]
    end: int

    def packets(self, shuffle: int = 0) -> Packets:
        seqs = list(range(len(self.sent)))
        replies = [(seq, at) for seq, at in enumerate(self.arrived) if at is not None]
        random.Random(shuffle).shuffle(replies)
        return Packets.match(seqs, self.sent, [seq for seq, _ in replies], [at for _, at in replies], self.end)

    def silences(self) -> list[tuple[int, int]]:
        """Between arrivals, and after the last one for as long as probes went unanswered."""
        arrivals = sorted(at for at in self.arrived if at is not None)
        quiet = self.packets().quiet_rtt_ns
        until = min(self.sent[-1] + round(quiet), self.end) if self.sent else 0
        if arrivals and until > arrivals[-1]:
            arrivals.append(until)
        return list(pairwise(arrivals))


@st.composite
def entries(draw: st.DrawFn, form: str, least: int, most: int) -> list[tuple[int, ...]]:
    """least to most tuples of integers of a form of struct's. Their bytes are drawn at once: number by number, drawing
    them would take longer than what is tried on them."""
    size = struct.calcsize(form) * draw(st.integers(least, most))
    return list(struct.iter_unpack(form, draw(st.binary(min_size=size, max_size=size))))


EDGES = (0, 100 * MS, TMAX_NS, TMAX_NS + 1)


def _wait(drawn: int) -> int | None:
    """A round trip by 32 bits: none, up to 10 ms, up to four times Tmax, or one at an edge."""
    kind, place = drawn % 4, drawn // 4
    return (None, place % (10 * MS + 1), place * 4 * TMAX_NS // 2**30, EDGES[place % len(EDGES)])[kind]


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    probes = draw(entries("<HI", 0, 60))
    sent = list(accumulate(1 + step * (400 * MS - 1) // 0xFFFF for step, _ in probes))
    waits = [_wait(place) for _, place in probes]
    arrived = [None if wait is None else at + wait for at, wait in zip(sent, waits, strict=True)]
    end = (sent[-1] if sent else 0) + draw(st.integers(0, 2 * TMAX_NS))
    return Sample(sent, arrived, end)


spans = st.tuples(st.integers(0, 12_000 * MS), st.integers(1, 12_000 * MS)).map(lambda t: (t[0], t[0] + t[1]))


def windows(
    before: tuple[int, int], during: tuple[int, int], stop: int | None = None, resume: int | None = None
) -> Windows:
    return Windows(before, during, None, None, during[0], stop, resume, None, None, None, during[1])
