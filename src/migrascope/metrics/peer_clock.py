"""How long a peer's own clock stood still, from the time stamps of its TCP segments (RFC 7323), and how far that may be
off.

A stamp counts ticks of the peer's clock. The moment at which a segment came minus what its stamp says is the delay plus
a constant, as long as the clock runs. While the guest is paused its clock stands still: after that the difference is
larger by the length of the pause. Delay only adds to it: so the least of each stretch of time counts, and a line with a
step goes through these, whose slope takes up the drift of the clock. Where the clock stood still at another time, too,
only what lies between that and the span counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from migrascope.metrics.packets import NS, Ints, Span

Floats = NDArray[np.float64]
RATES = (10.0, 100.0, 250.0, 300.0, 1000.0, 1e6)
"""Ticks a second that are in use."""
NEAR = 0.01
"""A rate counts as one of those if it differs by less."""
BINS = 12
"""Stretches of time on each side, of which each gives its least difference."""
LEAST_SEGMENTS = 5
SILENCE = 3
"""So many usual intervals without a segment may be a pause."""
LEAST_SIDE_NS = 200_000_000
MOST_DRIFT = 5e-4
"""A clock that is kept in time runs so much faster or slower at most (MAXFREQ, timex.h)."""
CERTAIN = 3
"""The step is off by no more than so many times its standard error."""
_WRAP, _HALF = 1 << 32, 1 << 31


SHORT = "time stamps were seen for too short a time before it"


class Unknown(Exception):
    """How long the clock stood still cannot be known; the text says why."""


@dataclass(frozen=True)
class Step:
    """How long a peer's clock stood still, s; below 0 where it was set forward. rate: ticks a second; drift: by how
    much the clock runs slower than ours; tick_s and scatter_s: parts of the error, the length of a tick and how
    unevenly segments came; segments: how many it rests on."""

    seconds: float
    rate: float
    drift: float
    tick_s: float
    scatter_s: float
    segments: int

    @property
    def bound_s(self) -> float:
        """How far `seconds` may be off."""
        return self.tick_s + self.scatter_s

    @property
    def still(self) -> bool:
        """Whether the clock stood still at all, as far as can be known."""
        return self.seconds > self.bound_s


def step(connection: Ints, tsval: Ints, arrived_ns: Ints, over: Span) -> Step:
    """How long the clock stood still in the span (mono ns), from segments in the order in which they came: the number
    of their connection, their stamp (32 bits), when they came (mono ns). Unknown where nothing can be said.

    Stamps of two connections are not compared: each may begin at another number (RFC 7323, 5.4).
    """
    connection, arrived = np.asarray(connection), np.asarray(arrived_ns)
    if not len(arrived):
        raise Unknown("no segment with a time stamp came")
    early, late = arrived <= over[0], arrived >= over[1]
    if not early.any() or not late.any():
        raise Unknown(f"no segment with a time stamp came {'after' if early.any() else 'before'} it")
    number = connection[early][-1]
    same = connection == number
    early, late = early & same, late & same
    if not late.any():
        raise Unknown("the connection ended, and time stamps of another one begin at another number")
    if min(early.sum(), late.sum()) < LEAST_SEGMENTS:
        raise Unknown(f"fewer than {LEAST_SEGMENTS} segments with time stamps came before or after it")
    at = arrived[same]
    ticks = _unwrapped(np.asarray(tsval)[same])
    before, after = np.flatnonzero(at <= over[0])[::-1], np.flatnonzero(at >= over[1])
    if at[before[0]] - at[0] < LEAST_SIDE_NS:
        raise Unknown(SHORT)
    rate = _rate(at, ticks, _pieces(at, before))
    own: Floats = ticks.astype(np.float64) * (
        NS / rate
    )  # the peer's time, for what its clock drifts it drifts only while it runs
    behind: Floats = (at - at[0]).astype(np.float64) - own
    before, after = _unbroken(at, behind, before)[::-1], _unbroken(at, behind, after)
    if min(len(before), len(after)) < LEAST_SEGMENTS:
        raise Unknown("the clock stood still more than once within fewer than 5 segments")
    if at[before[-1]] - at[before[0]] < LEAST_SIDE_NS:
        raise Unknown(SHORT)
    least = [_least(own[side], behind[side]) for side in (before, after)]
    seconds, drift, scatter = _fit(*least)
    return Step(seconds / NS, rate, drift, 1 / rate, scatter / NS, len(before) + len(after))


def _unwrapped(tsval: Ints) -> Ints:
    """Ticks since the first stamp. From one to the next is less than half of what 32 bits hold."""
    steps = np.mod(np.diff(tsval) + _HALF, _WRAP) - _HALF
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(steps)))


def _pieces(at: Ints, side: Ints) -> list[Ints]:
    """The segments of a side, from the span outwards, in pieces without a silence that may be a pause."""
    apart = np.abs(np.diff(at[side]))
    return list(np.split(side, np.flatnonzero(apart > SILENCE * np.median(apart)) + 1)) if len(side) > 1 else [side]


def _unbroken(at: Ints, behind: Floats, side: Ints) -> Ints:
    """The segments of a side, from the span outwards, until the clock stood still once more: where over a silence the
    least that segments are behind grows for good, by more than half of that silence."""
    first, *further = _pieces(at, side)
    kept = first
    usual = np.median(np.abs(np.diff(at[side]))) if further else 0.0
    for piece in further:
        silence, apart = (float(at[piece[0]] - at[kept[-1]]), float(at[piece[-1]] - at[kept[0]]))
        grown = np.sign(silence) * (behind[piece].min() - behind[kept].min())
        if len(kept) >= LEAST_SEGMENTS and grown > (abs(silence) - usual) / 2 + MOST_DRIFT * abs(apart):
            break
        kept = np.concatenate((kept, piece))
    return kept


def _rate(at: Ints, ticks: Ints, pieces: list[Ints]) -> float:
    """Ticks a second: the usual one that is near what was seen in the longest piece, or that itself where none is."""
    longest = max(pieces, key=lambda piece: abs(int(at[piece[0]] - at[piece[-1]])))
    span = float(at[longest[0]] - at[longest[-1]]) / NS
    if span <= 0:
        raise Unknown(SHORT)
    seen = float(ticks[longest[0]] - ticks[longest[-1]]) / span
    if seen <= 0:
        raise Unknown("the peer's time stamps do not advance")
    doubt = NEAR + 2 / (seen * span)  # a tick at each end
    near = min(RATES, key=lambda usual: abs(seen / usual - 1))
    return near if abs(seen / near - 1) < doubt else seen


def _least(own: Floats, behind: Floats) -> tuple[Floats, Floats]:
    """Of each stretch of the peer's time the segment that was least behind: its moment and how far it was behind."""
    bins = max(1, min(BINS, len(own) // LEAST_SEGMENTS))
    place = np.arange(len(own)) * bins // len(own)
    order = np.lexsort((behind, place))
    _, found = np.unique(place[order], return_index=True)
    chosen = order[found]
    return own[chosen], behind[chosen]


def _fit(before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> tuple[float, float, float]:
    """The step (ns), the drift, and how far the step may be off for the scatter of what it was fitted to (ns).

    A drift that no clock has, or that too few stretches show, is none: what the step may be off for that is part of
    the scatter.
    """
    when, behind = (np.concatenate(both) for both in zip(before, after, strict=True))
    later = np.concatenate((np.zeros(len(before[0])), np.ones(len(after[0]))))
    parts = np.column_stack((np.ones(len(when)), later, when))
    drifts = len(when) >= 2 * LEAST_SEGMENTS
    if drifts:
        found = np.linalg.lstsq(parts / [1, 1, NS], behind, rcond=None)[0]
        drifts = abs(found[2]) <= MOST_DRIFT * NS
    if not drifts:
        parts = parts[:, :2]
        found = np.linalg.lstsq(parts, behind, rcond=None)[0]
    scaled = parts / [1, 1, NS][: parts.shape[1]]
    off = behind - scaled @ found
    free = max(1, len(when) - parts.shape[1])
    spread = float(off @ off) / free
    error = CERTAIN * float(np.sqrt(spread * np.linalg.pinv(scaled.T @ scaled)[1, 1]))
    drift = found[2] / NS if drifts else 0.0
    unknown = 0.0 if drifts else MOST_DRIFT / 5 * (after[0].mean() - before[0].mean())
    return float(found[1]), float(drift), error + float(unknown)
