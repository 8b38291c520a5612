"""TCP's sequence and acknowledgement numbers as numbers that do not wrap.

Each is the nearest to the one before it in the space of the side that sends the data, as long as that is within 2 GiB
of the highest so far, and else the nearest to the highest: it depends on no batch.
"""

import numpy as np

from migrascope.qos.flows import Batch
from migrascope.qos.segments import Segments
from migrascope.qos.stretches import begins
from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import ACK, RST, Bools

STATE = ("based", "base", "front")
"""Known between batches, by flow of a batch and side: whether there was a number, the last, and the highest."""
State = dict[str, Ints]
_ORIGIN = 1 << 33
_FAR = 1 << 40
_HALF = 1 << 31


def unwrapped(state: State, batch: Batch, segments: Segments) -> tuple[Ints, Ints]:
    """(sequence numbers, acknowledgement numbers) of a batch, each in the space of the side that sends the data; 0
    where there is no acknowledgement. Numbers in the state that have grown far are brought back: those of STATE, of
    `top` (of the sender's space) and `ack` (of the other's)."""
    _near(state)
    second, acks, rst = batch.side == 1, segments.having(ACK), segments.having(RST)
    found = []
    for space, mine in enumerate((~second, second)):
        number = np.where(mine, segments.seq, segments.ack)
        found.append(_space(state, batch, space, number, (mine | acks) & ~rst, mine & rst))
    x = np.where(second, found[1], found[0])
    a = np.where(second, found[0], found[1])
    return x, np.where(acks, a, 0)


def _near(state: State) -> None:
    """Brings numbers that have grown far back to where they began."""
    far = np.flatnonzero((state["front"] > _FAR).any(axis=1))
    for side in (0, 1) if len(far) else ():
        back = np.maximum(0, (state["front"][far, side] & ~0xFFFFFFFF) - _ORIGIN)
        state["base"][far, side] -= back
        state["front"][far, side] -= back
        for name, of in (("top", side), ("ack", 1 - side)):
            there = state[name][far, of]
            state[name][far, of] = np.where(there > 0, np.maximum(1, there - back), 0)


def _space(state: State, batch: Batch, space: int, number: Ints, counts: Bools, resets: Bools) -> Ints:
    """The numbers of one space. counts: rows whose number tells how far it is; resets: those whose number is only
    set beside the others."""
    group = batch.group
    base, front = state["base"][:, space], state["front"][:, space]
    every = bool(counts.all())
    rows = np.arange(len(batch)) if every else np.flatnonzero(counts)
    values = np.zeros(len(batch), dtype=np.int64)
    if len(rows):
        told = number if every else number[rows]
        groups = group if every else group[rows]
        firsts = batch.starts if every else begins(groups)
        there = groups[firsts]
        unknown = there[state["based"][there, space] == 0]
        base[unknown] = front[unknown] = _ORIGIN + told[firsts[state["based"][there, space] == 0]]
        state["based"][there, space] = 1
        steps = np.empty_like(told)
        steps[1:] = told[1:] - told[:-1]
        steps[firsts] = told[firsts] - base[there]
        steps = steps.astype(np.int32)
        summed = np.cumsum(steps, dtype=np.int64)
        offset = base[there] - summed[firsts] + steps[firsts]
        found = summed + np.repeat(offset, np.diff(firsts, append=len(rows)))
        most, least = np.maximum.reduceat(found, firsts), np.minimum.reduceat(found, firsts)
        wide = np.maximum(most, front[there]) - np.minimum(least, front[there]) >= _HALF
        ends = np.append(firsts[1:], len(rows))
        for at in np.flatnonzero(wide).tolist():
            part = found[firsts[at] : ends[at]]
            _astray(part, told[firsts[at] : ends[at]], int(front[there[at]]))
            most[at] = part.max()
        front[there] = np.maximum(front[there], most)
        if every:
            values = found
        else:
            values[rows] = found
    for row in np.flatnonzero(resets).tolist():
        at = int(np.searchsorted(rows, row)) - 1
        near = int(values[rows[at]]) if at >= 0 and group[rows[at]] == group[row] else int(base[group[row]])
        values[row] = near + _nearest(int(number[row]) - near)
    if len(rows):
        base[there] = values[rows[ends - 1]]
    return values


def _nearest(apart: int) -> int:
    """A difference of numbers of 32 bits as the smallest that it can be."""
    return (apart + _HALF) % (2 * _HALF) - _HALF


def _astray(found: Ints, told: Ints, front: int) -> None:
    """Mends numbers of one space in place, from the first that lies 2 GiB or more from the highest before it: it and
    those behind it are taken one at a time."""
    highest = np.maximum.accumulate(np.concatenate(([front], found[:-1])))
    far = np.flatnonzero(np.abs(found - highest) >= _HALF)
    if not len(far):
        return
    begin = int(far[0])
    front, last = int(highest[begin]), int(found[begin])
    mended = []
    for number in told[begin:].tolist():
        last += _nearest(number - last)
        if abs(last - front) >= _HALF:
            last = front + _nearest(number - front)
        mended.append(last)
        front = max(front, last)
    found[begin:] = mended
