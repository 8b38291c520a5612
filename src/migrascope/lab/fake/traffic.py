"""The prober, the visitors and the viewers of the fake lab: what they send, and what comes back over a world."""

from dataclasses import dataclass
from typing import Any

from migrascope.lab.fake.programs import MS, Recorder
from migrascope.lab.fake.silence import Silence
from migrascope.lab.fake.time import NS
from migrascope.lab.fake.world import World
from migrascope.model.family import source_of
from migrascope.node.process_spec import ProcessSpec

READ_EVERY = 50 * MS
SEGMENT_S = 0.5
SEGMENT_BYTES, CHUNK = 100_000, 50_000
PAGE_BYTES = 24_000
TIMEOUT = 10 * NS
SYN_TIMER_S, RETRANSMIT_TIMER_S = 1.0, 0.2


class Echo(Recorder):
    """The prober: a request that is sent into a silence is lost, or its reply comes when the silence ends."""

    every_s = READ_EVERY / NS
    tables = ("echo_sent", "echo_reply")

    def __init__(self, world: World, member: ProcessSpec, config: dict[str, Any]) -> None:
        super().__init__(world, member, config)
        self._seq, self._late = 0, 0
        self._held: list[tuple[int, Silence]] = []

    def step(self, now: int) -> None:
        script, request = self.world.script, self.world.request
        self._held = [row for row in self._held if not self._came(*row)]
        interval = NS / self.config["rate"]
        while not self.draining and (due := self.began + round(self._seq * interval)) <= now:
            seq, self._seq = self._seq, self._seq + 1
            at = due + round(self.chance.uniform(2e4, 8e4))
            if request is not None and script.prober_late_s:
                stall, late = request + round(script.precopy_s * NS / 4), round(script.prober_late_s * NS)
                at = stall + late + seq if stall <= due < stall + late else at
            self.at(at, "echo_sent", seq, due, at)
            if self.world.lost(at, self.family) or self._unlucky(seq):
                continue
            if (silence := self.world.silence_at(at, self.family)) is None:
                self._reply(seq, at + round(script.quiet_rtt_s * NS * (1 + self.chance.expovariate(8))))
            elif not self._came(seq, silence):
                self._held.append((seq, silence))

    def _unlucky(self, seq: int) -> bool:
        """Whether the script loses it: some that are sent a second after the first, long before the request."""
        first = round(self.config["rate"])
        return self.world.request is None and seq in range(first, first + 7 * self.world.script.lost_before, 7)

    def _came(self, seq: int, silence: Silence) -> bool:
        """Whether the reply of one that was held is on its way."""
        if (end := silence.end_over(self.family)) is not None:
            self._reply(seq, end + self._late * 5000)
            self._late += 1
        return end is not None

    def _reply(self, seq: int, arrived: int) -> None:
        read = -(-arrived // READ_EVERY) * READ_EVERY
        self.at(read, "echo_reply", seq, arrived + self.world.clock.offset_ns, read)


@dataclass
class _Visit:
    """A visit that has no answer yet. again: when it is sent next; wait_s: how long TCP waits after that."""

    kind: str
    seq: int
    due: int
    sent: int
    again: int
    wait_s: float


class Visitors(Recorder):
    """Open-loop visits of new and of kept connections, sent again by TCP's timers."""

    every_s = READ_EVERY / NS
    tables = ("visit", "tcp_info")

    def __init__(self, world: World, member: ProcessSpec, config: dict[str, Any]) -> None:
        super().__init__(world, member, config)
        self._open, self._seqs = list[_Visit](), {"new": 0, "kept": 0}
        self._counts = dict[int, list[int]]()

    def step(self, now: int) -> None:
        for kind, timer_s in (("new", SYN_TIMER_S), ("kept", RETRANSMIT_TIMER_S)):
            rate = self.config[f"{kind}_rate"]
            while not self.draining and rate and (due := self._due_of(kind, rate)) <= now:
                self._open.append(_Visit(kind, self._seqs[kind], due, due + 50_000, due + 50_000, timer_s))
                self._seqs[kind] += 1
        self._open = [visit for visit in self._open if not self._over(visit, now)]

    def _due_of(self, kind: str, rate: float) -> int:
        return self.began + round(self._seqs[kind] * NS / rate) + (3 * MS if kind == "kept" else 0)

    def _over(self, visit: _Visit, now: int) -> bool:
        while visit.again <= now and self.world.lost(visit.again, self.family):
            visit.again += round(visit.wait_s * NS)
            visit.wait_s *= 2
        silence = self.world.silence_at(visit.again, self.family) if visit.again <= now else None
        end = silence.end_over(self.family) if silence is not None else visit.again
        if now > visit.sent + TIMEOUT:
            self._failed(visit, now, "no answer within 10 s")
            return True
        if visit.again > now or end is None:
            return False
        self._answered(visit, end)
        return True

    def finish(self, now: int) -> None:
        for visit in self._open:
            self._failed(visit, now, "no answer before the end")
        self._open = []

    def _failed(self, visit: _Visit, now: int, error: str) -> None:
        row = (visit.kind, visit.seq, visit.due, visit.sent, 0, 0, 0, 0, 0, self._connection(visit), error)
        self.at(now, "visit", *row)

    def _connection(self, visit: _Visit) -> int:
        return visit.seq if visit.kind == "new" else visit.seq % int(self.config["kept_connections"])

    def _answered(self, visit: _Visit, reached: int) -> None:
        connected = reached + MS // 3 if visit.kind == "new" else visit.sent
        first = max(connected, reached) + round(self.chance.uniform(2, 5) * MS)
        connection, done = self._connection(visit), first + MS
        row = (visit.kind, visit.seq, visit.due, visit.sent, connected, first, done, 200, PAGE_BYTES, connection, "")
        self.at(done, "visit", *row)
        again = 1 if first - visit.sent > 150 * MS else 0
        rtt = round(self.world.script.quiet_rtt_s * 1e6 * self.chance.uniform(1.2, 2.0))
        if visit.kind == "new":
            counts: tuple[Any, ...] = (PAGE_BYTES, 120, 5 + again, 20, again, 7, True)
            self.at(done, "tcp_info", done, 100 + visit.seq, "new", rtt, rtt // 4, *counts)
            return
        count = self._counts.setdefault(connection, [0, 0, 0, 0])
        for at, more in enumerate((PAGE_BYTES, 3 + again, 17, again)):
            count[at] += more
        received, out, into, retrans = count
        self.at(
            done, "tcp_info", done, 1 + connection, "kept", rtt, rtt // 4, received, 120, out, into, retrans, 1, False
        )


class Viewer(Recorder):
    """A viewer that asks for a stretch of media twice a second. The first that viewer-1 asks for after STOP is held
    back; one that is asked for in a silence comes after it, unless it does not come from the instance."""

    tables = ("segment", "arrival", "tcp_info")
    _seq, _free, _received, _held_at = 0, 0, 0, 0

    def step(self, now: int) -> None:
        while self._next() <= now and not self.draining:
            asked = self._next()
            silence = None if self.config["live"] and self._from_origin() else self.world.silence_at(asked, self.family)
            end = None if silence is None else silence.end_over(self.family)
            if silence is not None and end is None:
                if now > asked + TIMEOUT:
                    self._fail(asked, now)
                    continue
                return
            held = round(self._hold_s(asked) * NS)
            self._fetch(asked, max(asked + held + 2 * MS, end or 0))

    def finish(self, now: int) -> None:
        if self._next() <= now and self.world.silence_at(self._next(), self.family) is not None:
            self._fail(self._next(), now)

    def _fail(self, asked: int, now: int) -> None:
        self.at(now, "segment", self._seq, self._seq * SEGMENT_S, SEGMENT_S, asked, 0, 0, 0, "timeout")
        self._seq, self._free = self._seq + 1, now

    def _from_origin(self) -> bool:
        return self.world.factors.scenario == "online"

    def _next(self) -> int:
        return max(self.began + round((self._seq + 1) * SEGMENT_S * NS), self._free)

    def _hold_s(self, asked: int) -> float:
        stop = self.world.stop
        if self.source != source_of("viewer-1", self.family) or self._held_at or stop is None or asked < stop:
            return 0.0
        self._held_at = asked
        return self.world.script.hold_s

    def _fetch(self, asked: int, at: int) -> None:
        rtt = round(self.world.script.quiet_rtt_s * 1e6 * 1.5)
        for _ in range(SEGMENT_BYTES // CHUNK):
            last = at
            self.at(at, "arrival", at, self._seq, CHUNK)
            self._received += CHUNK
            parts = self._received // 1448
            row = (rtt, rtt // 4, self._received, 400, parts // 2, parts, 0, 1, False)
            self.at(at, "tcp_info", at + MS, 1, self.config["kind"], *row)
            at += 4 * MS
        whole = (asked, last, SEGMENT_BYTES, 200, "")
        self.at(last, "segment", self._seq, self._seq * SEGMENT_S, SEGMENT_S, *whole)
        self._seq, self._free = self._seq + 1, at
