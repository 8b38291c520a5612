"""The two clocks of a host: monotonic for every duration, wall only where the kernel or QEMU stamps with it."""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


def mono_ns() -> int:
    """CLOCK_MONOTONIC, one and the same in every namespace of a machine."""
    return time.monotonic_ns()


def clock_pair() -> tuple[int, int]:
    """(monotonic ns, wall ns) read together: the closest of three tries."""
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
