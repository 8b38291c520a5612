"""The two clocks of a host: monotonic for every duration, wall only where the kernel or QEMU stamps with it."""

import contextlib
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol


class Clock(Protocol):
    """Where mono_ns and clock_pair read the time instead of in the kernel: a virtual clock of the fake lab's."""

    def mono_ns(self) -> int: ...
    def wall_ns(self) -> int: ...


_CLOCK: ContextVar[Clock | None] = ContextVar("clock", default=None)


@contextlib.contextmanager
def kept_by(clock: Clock) -> Iterator[None]:
    """Inside the block, and in every task begun there, this clock keeps the time."""
    token = _CLOCK.set(clock)
    try:
        yield
    finally:
        _CLOCK.reset(token)


def mono_ns() -> int:
    """CLOCK_MONOTONIC, one and the same in every namespace of a machine."""
    clock = _CLOCK.get()
    return time.monotonic_ns() if clock is None else clock.mono_ns()


def mono_s() -> float:
    """The same in seconds, for limits that nothing is measured by."""
    return mono_ns() / 1e9


def clock_pair() -> tuple[int, int]:
    """(monotonic ns, wall ns) read together: the closest of three tries."""
    if (clock := _CLOCK.get()) is not None:
        return clock.mono_ns(), clock.wall_ns()
    best: tuple[int, int, int] | None = None
    for _ in range(3):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, (before + after) // 2, wall)
    assert best is not None
    return best[1], best[2]


@dataclass(frozen=True)
class WallClock:
    """Turns wall stamps into monotonic ones through pairs that were sampled along the way.

    pairs: (monotonic ns, wall ns), rising in monotonic time, at least one.
    """

    pairs: Sequence[tuple[int, int]]

    def to_mono(self, wall_ns: int) -> int:
        """Monotonic ns of a wall stamp, by the offset of the pair nearest in wall time."""
        walls = [wall for _, wall in self.pairs]
        at = bisect_left(walls, wall_ns)
        near = self.pairs[max(0, at - 1) : at + 1]
        mono, wall = min(near, key=lambda pair: abs(pair[1] - wall_ns))
        return mono + (wall_ns - wall)

    def offset_ns(self) -> int:
        """Wall minus monotonic at the first pair."""
        return self.pairs[0][1] - self.pairs[0][0]

    def worst_step_ns(self) -> int:
        """The largest change of wall minus monotonic from one pair to the next: a step, while slewing stays small."""
        offsets = [wall - mono for mono, wall in self.pairs]
        return max((abs(after - before) for before, after in pairwise(offsets)), default=0)
