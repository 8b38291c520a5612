"""What probes and visitors of a scripted trial record: echo, visits, TCP_INFO, segments and arrivals."""

import math
import random
from collections.abc import Iterator
from typing import Any

from migrascope.lab.script import S, Script, Times
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec

Row = tuple[Any, ...]
MS = S // 1000
READ_EVERY = 50 * MS
SEGMENT_S = 2.0
SEGMENT_BYTES = 400_000
CHUNK = 50_000
PAGE_BYTES = 24_000
VISIT_TIMEOUT = 10 * S
SYN_TIMER = 1.0
RETRANSMIT_TIMER = 0.2


class Traffic:
    """The packets and requests of one trial against its script: nothing is answered from STOP for gap_s."""

    def __init__(self, plan: Plan, spec: TrialSpec, script: Script, times: Times) -> None:
        self.plan, self.spec, self.script, self.times = plan, spec, script, times
        self._chance = random.Random(f"traffic/{plan.seed}/{spec.number}")

    def tables(self) -> Iterator[tuple[str, str, list[Row]]]:
        """(table, source, rows) of every probe and visitor."""
        sent, replies = self._echo()
        yield "echo_sent", "echo", sent
        yield "echo_reply", "echo", replies
        new, kept = self.plan.visitors.rates
        visits = [*self._visits("new", new), *self._visits("kept", kept)]
        yield "visit", "visitors", sorted(visits, key=lambda row: int(row[2]))
        yield "tcp_info", "visitors", self._visitor_flows(visits)
        if self.spec.factors.scenario != "none":
            for viewer in range(1, self.plan.visitors.viewers + 1):
                segments, arrivals = self._viewer(viewer)
                yield "segment", f"viewer-{viewer}", segments
                yield "arrival", f"viewer-{viewer}", arrivals
                yield "tcp_info", f"viewer-{viewer}", self._viewer_flow(viewer, arrivals)

    def _out(self, at: int) -> bool:
        return self.times.stop is not None and self.times.stop <= at and not self._back(at)

    def _back(self, at: int) -> bool:
        return self.times.first_reply is not None and at >= self.times.first_reply

    def _lost(self, at: int) -> bool:
        stop = self.times.stop
        if stop is None or at < stop or self._back(at):
            return False
        return self.times.first_reply is None or at < stop + round(self.script.lost_s * S)

    def _echo(self) -> tuple[list[Row], list[Row]]:
        times, script, chance = self.times, self.script, self._chance
        sent: list[Row] = []
        replies: list[Row] = []
        interval = S / self.plan.probes.echo_rate
        stall = times.request + round(script.precopy_s * S / 4)
        scripted_losses = set(range(100, 100 + 7 * script.lost_before, 7))
        late = 0
        for seq in range(int((times.stopping - times.steady) / interval)):
            due = times.steady + round(seq * interval)
            at = due + round(chance.uniform(2e4, 8e4))
            if stall <= due < stall + round(script.prober_late_s * S):
                at = stall + round(script.prober_late_s * S) + seq
            sent.append((seq, due, at))
            in_before = round((at - times.before) / interval)
            if self._lost(at) or (at < times.request and in_before in scripted_losses):
                continue
            arrived = at + round(script.quiet_rtt_s * S * (1 + chance.expovariate(8)))
            if self._out(at):
                assert times.first_reply is not None
                arrived = times.first_reply + late * 5000
                late += 1
            replies.append((seq, script.wall_ns(arrived, times), -(-arrived // READ_EVERY) * READ_EVERY))
        return sent, replies

    def _answered(self, asked: int, timer_s: float) -> int | None:
        """When a request sent at `asked` reaches the guest, after retransmissions at timer_s, 3, 7, ... times it."""
        at, wait = asked, timer_s
        while self._lost(at):
            at += round(wait * S)
            wait *= 2
            if at > asked + VISIT_TIMEOUT:
                return None
        if self._out(at):
            return self.times.first_reply
        return at

    def _visits(self, kind: str, rate: float) -> list[Row]:
        rows: list[Row] = []
        if rate <= 0:
            return rows
        timer = SYN_TIMER if kind == "new" else RETRANSMIT_TIMER
        for seq in range(int((self.times.stopping - self.times.steady) * rate / S)):
            due = self.times.steady + round(seq * S / rate) + (3 * MS if kind == "kept" else 0)
            sent = due + 50_000
            reached = self._answered(sent, timer)
            connection = seq if kind == "new" else seq % self.plan.visitors.kept_connections
            if reached is None:
                rows.append((kind, seq, due, sent, 0, 0, 0, 0, 0, connection, "timeout"))
                continue
            connected = reached + MS // 3 if kind == "new" else sent
            first = max(connected, reached) + round(self._chance.uniform(2, 5) * MS)
            rows.append((kind, seq, due, sent, connected, first, first + MS, 200, PAGE_BYTES, connection, ""))
        return rows

    def _visitor_flows(self, visits: list[Row]) -> list[Row]:
        rows: list[Row] = []
        counts: dict[int, list[int]] = {}
        for kind, seq, _due, sent, _connected, first, done, _status, size, connection, _error in visits:
            if not done:
                continue
            again = 1 if first - sent > 150 * MS else 0
            rtt = round(self.script.quiet_rtt_s * 1e6 * self._chance.uniform(1.2, 2.0))
            if kind == "new":
                rows.append((done, 100 + seq, kind, rtt, rtt // 4, size, 120, 5 + again, 20, again, 7, True))
            else:
                count = counts.setdefault(connection, [0, 0, 0, 0])
                for at, more in enumerate((size, 3 + again, 17, again)):
                    count[at] += more
                received, out, into, retrans = count
                rows.append((done, 1 + connection, kind, rtt, rtt // 4, received, 120, out, into, retrans, 1, False))
        return sorted(rows)

    def _viewer(self, viewer: int) -> tuple[list[Row], list[Row]]:
        times = self.times
        aligned = (times.stop or times.failed or times.request) + 10 * MS + (viewer - 1) * 700 * MS
        first = aligned - int((aligned - times.steady) / (SEGMENT_S * S)) * round(SEGMENT_S * S)
        segments: list[Row] = []
        arrivals: list[Row] = []
        free = 0
        for seq in range(math.ceil((times.stopping - first) / (SEGMENT_S * S))):
            asked = max(first + round(seq * SEGMENT_S * S), free)
            held = 0
            if viewer == 1 and times.stop is not None and times.stop <= asked < times.stop + round(SEGMENT_S * S):
                held = round(self.script.hold_s * S)
            at = asked + held + 2 * MS
            dead = times.first_reply is None and self._out(asked) and self.spec.factors.scenario != "online"
            if dead:
                segments.append((seq, seq * SEGMENT_S, SEGMENT_S, asked, 0, 0, 0, "timeout"))
                break
            for _ in range(SEGMENT_BYTES // CHUNK):
                arrivals.append((at, seq, CHUNK))
                at += 4 * MS
            free = at
            segments.append((seq, seq * SEGMENT_S, SEGMENT_S, asked, at - 4 * MS, SEGMENT_BYTES, 200, ""))
        return segments, arrivals

    def _viewer_flow(self, viewer: int, arrivals: list[Row]) -> list[Row]:
        kind = "mp4" if self.spec.factors.scenario == "offline" and viewer % 2 == 0 else "hls"
        rows: list[Row] = []
        received = 0
        rtt = round(self.script.quiet_rtt_s * 1e6 * 1.5)
        for at, _seq, size in arrivals:
            received += size
            parts = received // 1448
            rows.append((at + MS, 1, kind, rtt, rtt // 4, received, 400, parts // 2, parts, 0, 1, False))
        return rows
