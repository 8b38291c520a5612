"""How managers decide while a migration runs: pure rules over what QEMU says of it, each from its published source.

A controller is asked at every look, and answers with itself as it is from then on and what is to be done, or None.
"""

from dataclasses import dataclass, replace
from typing import Protocol, Self

STALLED = 0.9
"""A round that begins with so large a share of what the one before began with comes no nearer."""
HEADROOM = 1.1
"""A limit that is computed from a round is so many times what the round needs."""


@dataclass(frozen=True)
class Look:
    """What a look at a migration shows, as query-migrate has it. at_s: since the request. remaining, transferred:
    bytes. rounds: how many have begun. rate_Bps: what goes over in a second, None where it is not known yet."""

    at_s: float
    remaining: float
    transferred: float
    rounds: int
    rate_Bps: float | None = None


@dataclass(frozen=True)
class SetLimit:
    """The downtime limit is changed."""

    limit_s: float


@dataclass(frozen=True)
class TurnToPostCopy:
    """The guest is turned over to post-copy."""


@dataclass(frozen=True)
class Abort:
    """The migration is cancelled."""


Action = SetLimit | TurnToPostCopy | Abort


class Controller(Protocol):
    """first_s: the downtime limit with which it begins. look_s: how long it waits between looks."""

    @property
    def first_s(self) -> float: ...

    @property
    def look_s(self) -> float: ...

    def decided(self, look: Look) -> tuple[Self, Action | None]: ...


@dataclass(frozen=True)
class Fixed:
    """One limit until the end, as QEMU and libvirt by themselves. With a policy of auto-converge it is QEMU that slows
    the guest, and nothing is decided here."""

    first_s: float = 0.3
    look_s: float = 1.0

    def decided(self, look: Look) -> tuple[Self, Action | None]:
        return self, None


def nova_steps(downtime_s: float, steps: int, delay_s: float, memory_gb: float) -> tuple[tuple[float, float], ...]:
    """(s since the request, limit in s) of the limits that Nova sets one after the other: from downtime/steps on, up to
    downtime, one more each delay_s for a gigabyte of memory, at least two of them, in whole seconds and ms
    (`downtime_steps` in nova/virt/libvirt/migration.py; the options live_migration_downtime, _steps, _delay with their
    least values of 100 ms, 3 and 3 s)."""
    downtime_ms, steps, delay_s = max(100.0, 1000 * downtime_s), max(3, steps), max(3.0, delay_s)
    wait_s = int(delay_s * max(2.0, memory_gb))
    first_ms = downtime_ms / steps
    rise_ms = (downtime_ms - first_ms) / steps
    return tuple((float(wait_s * step), int(first_ms + rise_ms * step + 1e-6) / 1000) for step in range(steps + 1))


@dataclass(frozen=True)
class Nova:
    """The limit rises by the clock: the last step that is due (nova/virt/libvirt/migration.py: update_downtime;
    driver.py, _live_migration_monitor, asks each half second). steps: of nova_steps. The first is set before QEMU has
    begun, which libvirt asks after Nova has begun to look. limit_s: what was set last, None for that."""

    steps: tuple[tuple[float, float], ...]
    look_s: float = 0.5
    limit_s: float | None = None

    @property
    def first_s(self) -> float:
        return self.steps[0][1]

    def decided(self, look: Look) -> tuple[Self, Action | None]:
        due = [limit_s for at_s, limit_s in self.steps if look.at_s > at_s]
        limit_s = due[-1] if due else self.first_s
        if limit_s == (self.first_s if self.limit_s is None else self.limit_s):
            return self, None
        return replace(self, limit_s=limit_s), SetLimit(limit_s)


@dataclass(frozen=True)
class Ovirt:
    """An action for each rise of what remains, which VDSM takes for a new round (vdsm/virt/migration.py: MonitorThread,
    _next_action), by the engine's policy "minimal downtime": after how many such rises, and which limit; then it is
    aborted. last, rises: what remained at the last look, and the rises so far."""

    schedule: tuple[tuple[int, Action], ...] = (
        (1, SetLimit(0.15)), (2, SetLimit(0.2)), (3, SetLimit(0.3)), (4, SetLimit(0.4)), (6, SetLimit(0.5)),
        (-1, Abort()),
    )  # fmt: skip
    first_s: float = 0.1
    look_s: float = 10.0
    last: float | None = None
    rises: int = 0

    def decided(self, look: Look) -> tuple[Self, Action | None]:
        rose = self.last is not None and self.last < look.remaining
        now = replace(self, last=look.remaining, rises=self.rises + rose)
        if not rose or not self.schedule or self.schedule[0][0] >= now.rises:
            return now, None
        return replace(now, schedule=self.schedule[1:]), self.schedule[0][1]


@dataclass(frozen=True)
class Proxmox:
    """The limit doubles whenever what remains has risen, or was nothing, at six looks at which more had been sent
    (PVE/QemuMigrate.pm, phase2: downtimecounter). It looks each second, and each 0.1 s once less remains than is sent
    on average between two looks."""

    limit_s: float = 0.1
    slow: bool = True
    looks: int = 0
    sent: float = 0.0
    last: float | None = None
    rises: int = 0

    @property
    def first_s(self) -> float:
        return self.limit_s

    @property
    def look_s(self) -> float:
        return 1.0 if self.slow else 0.1

    def decided(self, look: Look) -> tuple[Self, Action | None]:
        looks = self.looks + 1
        if look.transferred == self.sent:
            return replace(self, looks=looks), None
        average = self.sent / looks
        slow = self.slow and not (average and look.remaining < average)
        rose = bool(self.last and look.remaining > self.last) or look.remaining == 0
        now = replace(self, slow=slow, looks=looks, sent=look.transferred, last=look.remaining, rises=self.rises + rose)
        if now.rises <= 5:
            return now, None
        return replace(now, rises=0, limit_s=2 * self.limit_s), SetLimit(2 * self.limit_s)


@dataclass(frozen=True)
class Advised:
    """Begins with the limit that was advised. A round that begins with no less than STALLED of the one before shows
    that it does not come nearer: the limit rises to what that round would take to send, with HEADROOM, if the user
    bears so much; else the guest is turned over to post-copy where it may be, or the limit is what the user bears.
    most_s: the longest limit that the user bears. begins: what each round so far began with, by looks so
    often that little of it is sent before."""

    first_s: float
    most_s: float
    may_turn: bool = False
    look_s: float = 0.02
    limit_s: float = 0.0
    rounds: int = 0
    begins: tuple[float, ...] = ()
    turned: bool = False

    def __post_init__(self) -> None:
        if self.first_s > self.most_s:
            raise ValueError(f"a limit of {self.first_s} s is advised, and {self.most_s} s are borne")

    def decided(self, look: Look) -> tuple[Self, Action | None]:
        if look.rounds == self.rounds or self.turned:
            return self, None
        now = replace(self, rounds=look.rounds, begins=(*self.begins, look.remaining)[-2:])
        if look.rounds <= 2 or len(now.begins) < 2 or now.begins[1] < STALLED * now.begins[0] or not look.rate_Bps:
            return now, None
        needed, limit_s = HEADROOM * look.remaining / look.rate_Bps, max(self.first_s, self.limit_s)
        if needed > self.most_s and self.may_turn:
            return replace(now, turned=True), TurnToPostCopy()
        raised = min(self.most_s, needed)
        if raised <= limit_s:
            return now, None
        return replace(now, limit_s=raised), SetLimit(raised)
