"""A migration by QEMU's own loop, computed ahead from what is known before it begins.

QEMU (migration/migration.c: migration_iteration_run, migration_update_counters; migration/ram.c: ram_save_iterate,
migration_bitmap_sync, migration_trigger_throttle; migration/cpu-throttle.c) sends dirty pages until fewer are left than
the link carries within the downtime limit, by its rate of the last 100 ms. Then it looks at the dirty bitmap: the guest
is stopped if there are still fewer, else it goes on. Here a round is one step: what is sent in it has the mix of all
that is left, and a working set dirties its clean pages by its own D(t).
"""

from dataclasses import dataclass, field

from migrascope.model.policy import Moment
from migrascope.predict.course import Course, Parameters
from migrascope.predict.request import HORIZON_S, Request

PAGE = 4096
HEADER = 8
"""Bytes before each page on the link; of an empty page one more follows, and that is all."""
TURN_S = 0.05
"""QEMU sends for so long until it looks whether few enough are left (MAX_WAIT)."""
COUNTED_S = 0.1
"""The rate is counted over so long; before, nothing fits into any limit (BUFFER_DELAY)."""
PERIOD_S = 1.0
"""Looks at the bitmap after at least so long judge whether the guest is slowed."""
HELP_SHARE, HELP_AFTER = 0.5, 2
"""It is, after so many in which more than that share of what was sent became dirty (throttle-trigger-threshold)."""
TICK_S = 5.0
"""A guest that may be slowed is looked at so often, within a round too (CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS)."""
EMPTY_BPS = 14e9
"""Bytes of empty memory that QEMU goes through in a second. Seen under TCG, see live/copying.py."""
_ROUNDS = 20_000
_SAME = 1e-9


@dataclass
class _Copy:
    """The state of a migration that is computed. left: bytes of pages to be sent of each part of the memory: what is
    never written, each working set, what is empty. costs: seconds for a byte of each; wires: bytes on the link."""

    request: Request
    parameters: Parameters
    left: list[float] = field(init=False)
    costs: list[float] = field(init=False)
    wires: list[float] = field(init=False)
    now: float = field(init=False)
    data: float = 0.0
    rounds: int = 1
    guest_s: float = 0.0  # that the guest has run since the last look
    throttle: float = 0.0
    high: int = 0
    since_period: float = field(init=False)
    since_look: float = field(init=False)
    sent_in_period: float = 0.0
    dirtied_in_period: float = 0.0

    def __post_init__(self) -> None:
        guest, settings = self.request.guest, self.request.settings
        self.rate = self.parameters.speed * self.request.link_Bps
        self.sets = guest.dirtying.times(self.parameters.dirty).sets
        held = max(guest.held_bytes, guest.dirtying.size)
        empty = max(0.0, guest.memory_bytes - held)
        self.left = [held - guest.dirtying.size, *(each.size for each in self.sets), empty]
        first, zero = settings.wire + HEADER / PAGE, (HEADER + 1) / PAGE
        self.wires = [first] * (len(self.sets) + 1) + [zero]
        self.costs = [self._cost(first)] * (len(self.sets) + 1) + [zero / self.rate + 1 / EMPTY_BPS]
        self.now = self.since_period = self.since_look = self.parameters.lead_s

    def _cost(self, wire: float) -> float:
        slowest = self.request.settings.channel_Bps
        return max(wire / self.rate, 1 / slowest if slowest else 0.0)

    @property
    def pending(self) -> float:
        return sum(self.left)

    @property
    def seconds(self) -> float:
        """To send all that is left."""
        return sum(bytes_ * cost for bytes_, cost in zip(self.left, self.costs, strict=True))

    @property
    def on_link(self) -> float:
        """Bytes on the link for all that is left."""
        return sum(bytes_ * wire for bytes_, wire in zip(self.left, self.wires, strict=True))

    def threshold(self) -> float:
        """Bytes of pages below which QEMU would stop the guest, by its rate of late."""
        if self.now - self.parameters.lead_s < COUNTED_S - _SAME or not self.pending:
            return 0.0
        return self.on_link / self.seconds * self._limit()

    def _limit(self) -> float:
        return [step.limit_s for step in self.request.settings.limits if step.at_s <= self.now + _SAME][-1]

    def next_step(self) -> float | None:
        """When the limit changes the next time."""
        times = [step.at_s for step in self.request.settings.limits if step.at_s > self.now + _SAME]
        return min(times) if times else None

    def send(self, seconds: float) -> None:
        """Sends for so long, or until nothing is left."""
        all_s = self.seconds
        share = min(1.0, seconds / all_s) if all_s > 0 else 1.0
        sent = share * self.on_link
        self.left = [(1 - share) * bytes_ for bytes_ in self.left]
        self.data += sent
        self.sent_in_period += sent
        self.now += seconds
        self.guest_s += (1 - self.throttle) * seconds

    def look(self) -> None:
        """A look at the dirty bitmap: pages that are clean now and were written since the last count as dirty."""
        again = self.request.settings.again + HEADER / PAGE
        for at, each in enumerate(self.sets, start=1):
            added = max(0.0, each.size - self.left[at]) * each.share_within(self.guest_s)
            old, all_ = self.left[at], self.left[at] + added
            if all_ > 0:
                self.wires[at] = (old * self.wires[at] + added * again) / all_
                self.costs[at] = self._cost(self.wires[at])
            self.left[at] = all_
            self.dirtied_in_period += added
        self.rounds += 1
        self.guest_s, self.since_look = 0.0, self.now
        if self.now > self.since_period + PERIOD_S:
            self._judge()

    def _judge(self) -> None:
        slows = self.request.settings.slows
        if self.dirtied_in_period > HELP_SHARE * self.sent_in_period:
            self.high += 1
            if self.high >= HELP_AFTER and slows is not None:
                self.high = 0
                first, step, most = slows.initial / 100, slows.increment / 100, slows.maximum / 100
                self.throttle = min(most, self.throttle + step) if self.throttle else first
        self.since_period, self.sent_in_period, self.dirtied_in_period = self.now, 0.0, 0.0

    def may_change(self) -> bool:
        """Whether something is to come that its rounds do not show."""
        settings = self.request.settings
        slower = settings.slows is not None and self.throttle < settings.slows.maximum / 100
        return slower or self.next_step() is not None or settings.turns is not None or settings.paused is not None

    def over(self, pause_s: float, waits_s: float = 0.0, rest_s: float = 0.0) -> Course:
        """Ends with a pause, after which the rest of post-copy goes over; too late, it was cancelled before."""
        if self.now + pause_s + rest_s > self.request.settings.deadline_s:
            return self.cancelled()
        return Course(
            True, self.now + pause_s + rest_s, pause_s, self.data + self.on_link, self.rounds, self.throttle, waits_s
        )  # fmt: skip

    def cancelled(self) -> Course:
        return Course(False, None, None, self.data, self.rounds, self.throttle)


def course(request: Request, parameters: Parameters = Parameters()) -> Course:  # noqa: B008
    """How a migration goes. Constant but for what the request says: the link's rate, and what the guest writes."""
    copy = _Copy(request, parameters)
    settings = request.settings
    before = -1.0
    for _ in range(_ROUNDS):
        if _due(settings.turns, copy):
            return _post_copy(copy)
        if _due(settings.paused, copy):
            return _stopped(copy)
        threshold, young = copy.threshold(), parameters.lead_s + COUNTED_S - copy.now
        all_s = copy.seconds
        rest_s = all_s if copy.pending <= 0 else (copy.pending - threshold) / copy.pending * all_s
        # a turn of the loop is whole, so that a round ends half of one late on average
        send_s = min(all_s, max(TURN_S, rest_s + TURN_S / 2))
        ends = [copy.now + young] if young > _SAME else []
        ends += [end for end in (copy.next_step(), _moment(settings.turns), _moment(settings.paused)) if end]
        if settings.slows is not None and copy.rounds > 1:
            ends.append(copy.since_look + TICK_S)
        cut = min((end for end in ends if end > copy.now + _SAME), default=None)
        if cut is not None and cut < copy.now + send_s:
            ticks = settings.slows is not None and copy.rounds > 1 and cut >= copy.since_look + TICK_S - _SAME
            copy.send(cut - copy.now)
            if ticks:
                copy.look()
            if copy.now > min(settings.deadline_s, HORIZON_S):
                return copy.cancelled()
            continue
        copy.send(send_s)
        if threshold <= 0 and copy.pending <= 0:
            # nothing is left and nothing fits into the limit: QEMU stops the guest without a look
            return _stopped(copy)
        copy.look()
        if copy.pending < threshold:
            return _stopped(copy)
        stuck = copy.pending >= before * (1 - _SAME) > 0 and not copy.may_change()
        if stuck or copy.now > min(settings.deadline_s, HORIZON_S):
            return copy.cancelled()
        before = copy.pending
    return copy.cancelled()


def _stopped(copy: _Copy) -> Course:
    """The guest stands still; QEMU looks a last time, and sends what is left."""
    copy.look()
    return copy.over(copy.seconds + copy.parameters.pause_s)


def _post_copy(copy: _Copy) -> Course:
    """The guest is stopped for its devices' state alone; then what is dirty goes over, as it is asked for or in order.
    It waits for no more than all of its working sets' missing pages, one after the other."""
    copy.look()
    hot = sum(copy.left[1:-1])
    waits = hot / PAGE * (PAGE + HEADER) / copy.rate
    return copy.over(copy.parameters.pause_s, waits, copy.seconds)


def _moment(moment: Moment | None) -> float | None:
    return moment.after if moment is not None else None


def _due(moment: Moment | None, copy: _Copy) -> bool:
    """QEMU counts the rounds that have begun, so that one is over when the second has begun."""
    if moment is None:
        return False
    if moment.after is not None:
        return copy.now >= moment.after - _SAME
    return copy.rounds > (moment.after_round or 0)
