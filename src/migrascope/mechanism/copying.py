"""How a copy of a running guest goes on by QEMU's own loop, computed ahead from a state of it.

QEMU (migration/migration.c: migration_iteration_run, migration_update_counters; migration/ram.c: ram_save_iterate,
migration_bitmap_sync, migration_trigger_throttle; migration/cpu-throttle.c) sends dirty pages until fewer are left than
the link carries within the downtime limit, by its rate of the last 100 ms. Then it looks at the dirty bitmap: the guest
is stopped if there are still fewer, else it goes on, from where it was: first comes what was left at the look, then
what that added, which was written behind. In the first round, parts may say what goes last. Where the migration is to
send no more than so much (max-bandwidth), it does so until the guest is stopped at the end, and again in post-copy, but
for the pages that are asked for. Here a round is one step: what is sent in it has the mix of all that is left of
either, and a working set dirties its clean pages by its own D(t).
"""

from dataclasses import dataclass
from typing import NamedTuple

from migrascope.mechanism.dirtying import WorkingSet
from migrascope.mechanism.rules import COUNTED_S, HEADER, HORIZON_S, PAGE, TICK_S, TURN_S, Judge, Rules, pace
from migrascope.model.policy import Moment

_ROUNDS = 20_000
_SAME = 1e-9


class Way(NamedTuple):
    """How a byte of memory goes over: wire bytes on the link, in cost_s seconds. bound_s: of these, what the
    migration's own bound on its rate adds."""

    wire: float
    cost_s: float
    bound_s: float = 0.0

    @property
    def unbound_s(self) -> float:
        """Seconds where the bound does not hold."""
        return self.cost_s - self.bound_s

    def mixed(self, other: "Way", share: float) -> "Way":
        """That share of the other, and the rest of this one."""
        old = 1 - share
        return Way(
            old * self.wire + share * other.wire,
            old * self.cost_s + share * other.cost_s,
            old * self.bound_s + share * other.bound_s,
        )


@dataclass
class Part:
    """Pages of one kind. left: bytes of them to be sent; way: how these go. written: the working set that they are,
    None for what is never written. ahead: of left, what was there at the last look, and goes first. behind: of left,
    what goes after all else, in the first round."""

    left: float
    way: Way
    written: WorkingSet | None = None
    ahead: float = 0.0
    behind: float = 0.0

    def dirtied(self, seconds: float, again: Way) -> float:
        """Looks at what the guest has written in so long since the last look: bytes that were clean and are to be sent
        again, in that way."""
        if self.written is None:
            return 0.0
        added = max(0.0, self.written.size - self.left) * self.written.share_within(seconds)
        if added > 0:
            left = self.left + added
            self.way = self.way.mixed(again, added / left)
            self.left = left
        return added


class Left(NamedTuple):
    """What is left to be sent: bytes of pages, the seconds that they take, their bytes on the link."""

    pages: float
    seconds: float
    link: float


@dataclass(frozen=True)
class Course:
    """ends: whether it ends before it is cancelled; of one that does not, time_s and pause_s are None, and the rest is
    as of its cancellation. time_s: from the request to a guest that runs at the destination and needs nothing more from
    the source. pause_s: STOP to RESUME. data_bytes: on the link. rounds: looks at the dirty bitmap, by QEMU's count.
    throttle: the share of the time for which the guest was held at last. waits_s: the most that a guest in post-copy
    waits for pages, 0 elsewhere.
    """

    ends: bool
    time_s: float | None
    pause_s: float | None
    data_bytes: float
    rounds: int
    throttle: float = 0.0
    waits_s: float = 0.0


@dataclass
class Copy:
    """The state of a copy that goes on, changed as it is computed ahead.

    parts: the guest's memory. again: how a page goes that is sent once more. settle_s: from the end of sending to a
    guest that runs. now: seconds since the request; began: when its first page was sent, looked: when QEMU last looked
    at the dirty bitmap. guest_s: how long the guest has written since, as fast as it wants to; busy: the share of its
    processor that it needs for that. data: bytes on the link so far, sent: of them those since QEMU last looked.
    rounds: looks so far, the one at the beginning counted. queued_s: how long a page that is asked for waits behind
    what lies in buffers.
    """

    rules: Rules
    parts: list[Part]
    again: Way
    settle_s: float
    began: float
    now: float
    looked: float
    judge: Judge
    guest_s: float = 0.0
    busy: float = 1.0
    data: float = 0.0
    rounds: int = 1
    sent: float = 0.0
    queued_s: float = 0.0

    def __post_init__(self) -> None:
        rules = self.rules
        turns = [moment.after for moment in (rules.turns, rules.paused) if moment and moment.after]
        self._moments = sorted([*(step.at_s for step in rules.limits), *turns, self.began + COUNTED_S])

    def left(self) -> Left:
        """Of all parts together."""
        pages = seconds = link = 0.0
        # no sum() of generators: a fit goes through here a million times
        for part in self.parts:
            pages += part.left
            seconds += part.left * part.way.cost_s
            link += part.left * part.way.wire
        return Left(pages, seconds, link)

    def _ahead(self) -> tuple[float, float]:
        """Of it what goes first: bytes of pages, and the seconds that they take."""
        pages = seconds = 0.0
        for part in self.parts:
            pages += part.ahead
            seconds += part.ahead * part.way.cost_s
        return pages, seconds

    def _behind(self) -> tuple[float, float]:
        """Of it what goes last, in the first round, likewise."""
        pages = seconds = 0.0
        for part in self.parts:
            pages += part.behind
            seconds += part.behind * part.way.cost_s
        return pages, seconds

    def until(self, pages: float, left: Left) -> float:
        """Seconds until no more than so many bytes of pages are left."""
        (ahead, ahead_s), goes = self._ahead(), left.pages - pages
        if goes <= ahead:
            return goes / ahead * ahead_s if ahead > 0 else 0.0
        between, between_s = left.pages - ahead, left.seconds - ahead_s
        if self.rounds == 1:
            behind, behind_s = self._behind()
            if pages < behind:
                return left.seconds - pages / behind * behind_s
            between, between_s = between - behind, between_s - behind_s
        return ahead_s + (goes - ahead) / between * between_s if between > 0 else ahead_s

    def threshold(self, left: Left) -> float:
        """Bytes of pages below which QEMU would stop the guest, by its rate of late; where nothing is left, by that of
        what it will send again."""
        if self.now - self.began < COUNTED_S - _SAME:
            return 0.0
        rate = left.link / left.seconds if left.pages else self.again.wire / self.again.cost_s
        return rate * self.rules.limit_at(self.now + _SAME)

    def take(self, seconds: float) -> float:
        """Takes what goes over in so long as sent, while the time stands. Gives how long it takes, less where less is
        left."""
        left = self.left()
        self._take(seconds, left)
        return min(seconds, left.seconds)

    def _take(self, seconds: float, left: Left) -> float:
        """What goes over in so long is no longer left; gives how much it is on the link."""
        sent = 0.0
        _, ahead_s = self._ahead()
        if ahead_s > 0:
            share = min(1.0, seconds / ahead_s)
            for part in self.parts:
                gone = share * part.ahead
                sent += gone * part.way.wire
                part.ahead -= gone
                part.left -= gone
            if share < 1:
                self.data += sent
                return sent
            seconds -= ahead_s
            left = self.left()
        if self.rounds == 1:
            sent += self._take_first(seconds, left)
        else:
            share = min(1.0, seconds / left.seconds) if left.seconds > 0 else 1.0
            sent += share * left.link
            for part in self.parts:
                part.left *= 1 - share
        self.data += sent
        return sent

    def _take_first(self, seconds: float, left: Left) -> float:
        """The same of what is not ahead, within the first round: what is behind goes when all else is over."""
        _, behind_s = self._behind()
        between_s, sent = left.seconds - behind_s, 0.0
        share = min(1.0, seconds / between_s) if between_s > 0 else 1.0
        last = min(1.0, max(0.0, seconds - between_s) / behind_s) if behind_s > 0 else 1.0
        for part in self.parts:
            between, behind = part.left - part.behind, part.behind
            sent += (share * between + last * behind) * part.way.wire
            part.behind = (1 - last) * behind
            part.left = (1 - share) * between + part.behind
        return sent

    def send(self, seconds: float, left: Left) -> None:
        """Sends of what is left for so long, or until there is nothing."""
        self.sent += self._take(seconds, left)
        self.now += seconds
        self.guest_s += pace(self.judge.throttle, self.busy) * seconds

    def look(self) -> None:
        """A look at the dirty bitmap: pages that are clean now and were written since the last count as dirty."""
        dirtied = 0.0
        for part in self.parts:
            part.ahead = part.left
            dirtied += part.dirtied(self.guest_s, self.again)
        self.judge = self.judge.looked(self.now, self.sent, dirtied, self.rules.slows)
        self.rounds += 1
        self.sent, self.guest_s, self.looked = 0.0, 0.0, self.now

    def next_moment(self) -> float | None:
        """When it is next looked at, or something is changed, whatever is left; None for never."""
        after = self.now + _SAME
        soon = None
        for moment in self._moments:
            if moment > after:
                soon = moment
                break
        if self.rules.slows is not None and self.rounds > 1:
            tick = self.looked + TICK_S
            if tick > after and (soon is None or tick < soon):
                return tick
        return soon

    def is_due(self, moment: Moment | None) -> bool:
        return moment is not None and moment.is_due(self.now + _SAME, self.rounds)

    def may_change(self) -> bool:
        """Whether something is to come that its rounds do not show."""
        more_limits = any(step.at_s > self.now + _SAME for step in self.rules.limits)
        return more_limits or self.rules.may_change(self.judge.throttle)

    def unbound_s(self) -> float:
        """Seconds that all that is left takes where the bound does not hold."""
        return sum(part.left * part.way.unbound_s for part in self.parts)

    def over(self, pause_s: float, waits_s: float = 0.0, rest_s: float = 0.0) -> Course:
        """Ends with a pause, after which the rest of post-copy goes over; too late, it was cancelled before."""
        end = self.now + pause_s + rest_s
        if end > self.rules.deadline_s:
            return self.cancelled()
        return Course(True, end, pause_s, self.data + self.left().link, self.rounds, self.judge.throttle, waits_s)

    def cancelled(self) -> Course:
        return Course(False, None, None, self.data, self.rounds, self.judge.throttle)


def course(copy: Copy) -> Course:
    """How a copy goes on from its state, which is used up. Constant but for what its rules say: how its pages go, and
    what the guest writes."""
    rules, before, left = copy.rules, -1.0, copy.left()
    for _ in range(_ROUNDS):
        if copy.is_due(rules.turns):
            return _post_copy(copy)
        if copy.is_due(rules.paused):
            return _paused(copy)
        threshold, all_s = copy.threshold(left), left.seconds
        rest_s = all_s if left.pages <= 0 else copy.until(threshold, left)
        # a turn of the loop is whole, so that a round ends half of one late on average
        send_s = min(all_s, max(TURN_S, rest_s + TURN_S / 2))
        cut = copy.next_moment()
        if cut is not None and cut < copy.now + send_s:
            ticks = rules.slows is not None and copy.rounds > 1 and cut >= copy.looked + TICK_S - _SAME
            copy.send(cut - copy.now, left)
            if ticks:
                copy.look()
            if copy.now > min(rules.deadline_s, HORIZON_S):
                return copy.cancelled()
            left = copy.left()
            continue
        copy.send(send_s, left)
        if threshold <= 0 and copy.left().pages <= 0:
            # nothing is left and nothing fits into the limit: QEMU stops the guest without a look
            return _stopped(copy)
        copy.look()
        left = copy.left()
        if left.pages < threshold:
            return _stopped(copy)
        stuck = left.pages >= before * (1 - _SAME) > 0 and not copy.may_change()
        if stuck or copy.now > min(rules.deadline_s, HORIZON_S):
            return copy.cancelled()
        before = left.pages
    return copy.cancelled()


def _stopped(copy: Copy) -> Course:
    """The guest stands still; QEMU looks a last time, and sends what is left as fast as the link carries."""
    copy.look()
    return copy.over(copy.unbound_s() + copy.settle_s)


def _paused(copy: Copy) -> Course:
    """The guest stands still because it was told to: its bound holds until few enough are left."""
    copy.look()
    left = copy.left()
    threshold = copy.threshold(left)
    bound_s = copy.take(copy.until(threshold, left)) if left.pages > threshold else 0.0
    return copy.over(bound_s + copy.unbound_s() + copy.settle_s)


def _post_copy(copy: Copy) -> Course:
    """The guest is stopped for its devices' state alone; then what is dirty goes over, as it is asked for or in order.
    It waits for no more than what is queued and then all of its working sets' missing pages, one after the other: those
    it gets whatever the bound is."""
    copy.look()
    waits_s = sum(
        part.left / PAGE * (PAGE + HEADER) * part.way.unbound_s / part.way.wire for part in copy.parts if part.written
    )
    if waits_s:
        waits_s += copy.queued_s
    return copy.over(copy.settle_s, waits_s, copy.left().seconds)
