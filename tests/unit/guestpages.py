"""A guest whose pages are counted one by one while it is migrated by QEMU's loop: what forecasts are tried on.

It shares nothing with what computes them: pages are written at random, sent in order, and found dirty as QEMU finds
them.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from migrascope.live.sample import Sample

PAGE, TURN_S, ASKED_S = 4096, 0.05, 0.1
ZERO_PAGES_A_TURN = 2**17


@dataclass(frozen=True)
class Guest:
    """total, held: bytes of memory, and of it what holds something. write_Bps into a set of set_bytes. link_Bps: of the
    link, slower_Bps from slower_s on. limit_s: for the pause. throttles: (seconds from the request, share) steps.
    post_copy_s: when it is turned over. give_up_s: when it is cancelled."""

    total: int = 2**29
    held: int = 110 * 2**20
    write_Bps: float = 0.0
    set_bytes: int = 2**27
    link_Bps: float = 117e6
    slower_Bps: float = 0.0
    slower_s: float = float("inf")
    limit_s: float = 0.3
    throttles: tuple[tuple[float, float], ...] = ()
    post_copy_s: float = float("inf")
    give_up_s: float = 30.0
    settle_s: float = 0.03
    seed: int = 1


@dataclass
class _Run:
    guest: Guest
    at_s: float = 0.01
    sent: int = 0
    zeros: int = 0
    rounds: int = 1
    transferred: float = 0.0
    state: str = "active"
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = np.random.default_rng(self.guest.seed)
        pages = self.guest.total // PAGE
        self.set = self.guest.set_bytes // PAGE if self.guest.write_Bps else 0
        self.holds = np.zeros(pages, bool)
        self.holds[-self.guest.held // PAGE - self.set :] = True
        self.dirty, self.written = np.ones(pages, bool), np.zeros(pages, bool)

    @property
    def speed(self) -> float:
        late = self.at_s >= self.guest.slower_s
        return self.guest.slower_Bps if late else self.guest.link_Bps

    @property
    def throttle(self) -> float:
        return max((share for since, share in self.guest.throttles if self.at_s >= since), default=0.0)

    def left(self) -> int:
        return int(self.dirty.sum()) * PAGE

    def ask(self) -> None:
        due = (self.samples[-1].at_s if self.samples else 0.0) + ASKED_S
        if self.at_s >= due or not self.samples:
            self.samples.append(self._sample())

    def _sample(self) -> Sample:
        return Sample(
            self.at_s, self.state, self.guest.total, self.left(), self.sent * PAGE, self.zeros * PAGE,
            round(self.transferred), self.rounds, throttle=self.throttle,
        )  # fmt: skip

    def turn(self, *, writes: bool = True) -> None:
        """One turn of the loop: pages go over in their order while the guest writes. It is over sooner where nothing is
        left."""
        before = int(self.dirty.sum())
        wanted = np.flatnonzero(self.dirty)[: round(self.speed * TURN_S / PAGE) + ZERO_PAGES_A_TURN]
        full = np.cumsum(self.holds[wanted]) <= self.speed * TURN_S / PAGE
        gone = wanted[full & (np.cumsum(~self.holds[wanted]) <= ZERO_PAGES_A_TURN)]
        self.dirty[gone] = False
        zero = int((~self.holds[gone]).sum())
        self.sent, self.zeros = self.sent + len(gone), self.zeros + zero
        self.transferred += (len(gone) - zero) * (PAGE + 8) + 8 * zero
        took = TURN_S if len(gone) < before else max(0.001, (len(gone) - zero) * PAGE / self.speed)
        if writes and self.set:
            count = round(self.guest.write_Bps * (1 - self.throttle) * took / PAGE)
            self.written[len(self.written) - 1 - self.chance.integers(0, self.set, count)] = True
        self.at_s += took

    def look(self) -> None:
        """A look at the dirty bitmap."""
        self.dirty |= self.written
        self.written[:] = False
        self.rounds += 1


@cache
def migrated(guest: Guest) -> tuple[list[Sample], float | None]:
    """(what a poll every 100 ms saw, how long it took): the latter None where it was cancelled. It is run once."""
    run = _Run(guest)
    while run.at_s < guest.give_up_s:
        run.ask()
        if run.at_s >= guest.post_copy_s:
            run.look()
            run.state = "postcopy-active"
            while run.left():
                run.ask()
                run.turn(writes=False)
            return _over(run, guest)
        threshold = run.speed * guest.limit_s
        if run.left() < threshold:
            run.look()
            if run.left() < threshold:
                run.at_s += run.left() / run.speed
                run.dirty[:] = False
                return _over(run, guest)
        run.turn()
    return run.samples, None


def _over(run: _Run, guest: Guest) -> tuple[list[Sample], float]:
    run.state = "completed"
    run.at_s += guest.settle_s
    return [*run.samples, run._sample()], run.at_s
