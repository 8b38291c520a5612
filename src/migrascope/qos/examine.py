"""A capture read once: every flow's delay, jitter, loss and throughput."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from migrascope.qos.acts import AFTER_NS, Acts
from migrascope.qos.echo import Echo
from migrascope.qos.ends import Ends
from migrascope.qos.flows import Batch, Flows, measurable
from migrascope.qos.fragments import Reassembly
from migrascope.qos.moments import Moment, Moments
from migrascope.qos.refusals import Refusals
from migrascope.qos.result import AroundQos, EndQos, Qos, Totals
from migrascope.qos.rtp import Rtp
from migrascope.qos.segments import Segments
from migrascope.qos.silences import Silences
from migrascope.qos.stretches import begins, in_order
from migrascope.qos.tally import Cells, Tally, Trips, direction_and_window, key_of
from migrascope.qos.tcp import Tcp
from migrascope.qos.twice import Twice
from migrascope.qos.unread import named
from migrascope.qos.verdicts import Deeds, Known, flow_results
from migrascope.store.pcap.frames import Frames, Ints, column, words
from migrascope.store.pcap.layers import ICMP, ICMP6, RST, TCP, UDP, Bools, Headers, headers, time_stamps
from migrascope.store.pcap.reader import Capture

NS = 1e9
LONGEST_NS = 1 << 61


AROUND_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Around:
    """A time of interest: ns since 1970, or after the capture's begin."""

    time_ns: int
    absolute: bool


def examine(
    path: Path, *, window_s: float = 1.0, server: str | None = None, silence_s: float = 0.1,
    around: Around | None = None,
) -> Qos:  # fmt: skip
    """The figures of every flow of a capture, or of those with one address. Where flows times windows are too many, the
    windows of flows are longer. silence_s: shorter silences are none; around: 10 s before and
    behind it, what flows did is given. CaptureError where it cannot be read."""
    capture = Capture(path)
    found = _Reading(round(min(window_s * NS, LONGEST_NS)), server, round(min(silence_s * NS, LONGEST_NS)))
    for frames in capture.batches():
        found.add(frames)
    return found.result(str(path), capture, around)


_NEVER = (1 << 63) - 1


class _Reading:
    """What has been learnt so far."""

    def __init__(self, window_ns: int, server: str | None, silence_ns: int) -> None:
        self._window_ns = window_ns
        self._begin_ns: int | None = None
        self._least_ns, self._end_ns = _NEVER, -_NEVER
        self._last_ns = -_NEVER
        self._backward = self._back_ns = 0
        self._packets = self._bytes = 0
        self._others: dict[str, int] = {}
        self._not_measured: dict[str, int] = {}
        self._flows = Flows(server)
        self._tcp, self._echo = Tcp(), Echo()
        self._flow_silences, self._end_silences = Silences(silence_ns), Silences(silence_ns)
        self._ends = Ends()
        self._moments, self._acts, self._refusals = Moments(), Acts(), Refusals()
        self._twice, self._reassembly = Twice(), Reassembly()
        self._joined: Bools | None = None
        self._again = 0
        self._spans = np.zeros((0, 2), dtype=np.int64)

    def add(self, frames: Frames) -> None:
        if self._begin_ns is None:
            self._begin_ns = int(frames.time_ns[0])
            self._tally = Tally(self._window_ns, self._begin_ns)
            self._all = Tally(self._window_ns, self._begin_ns)
            self._trips = Trips(self._tally)
            self._rtp = Rtp(self._tally)
        self._clock(frames.time_ns)
        self._packets += len(frames)
        self._bytes += int(frames.wire.sum())
        self._whole(frames)
        found = headers(frames)
        chosen = measurable(found)
        self._joined = self._reassembly.join(found, chosen)
        if self._joined is not None:
            chosen |= self._joined
        if not chosen.all():
            named(found, chosen, self._others, self._not_measured)
        batch = self._flows.batch(found, chosen)
        self._acts.refused(*self._refusals.add(found, self._flows))
        twice = self._twice.find(batch, found) if len(batch) else None
        if twice is not None and twice.any():
            self._again += int(twice.sum())
            batch = _part(batch, ~twice)
        rows, who = self._quiet(batch, found) if len(batch) else (batch.rows, batch.rows)
        self._moments.announcements(found)
        self._moments.senders(found, rows, who, self._ends.names, ~chosen)
        if len(batch):
            self._span(batch)
            self._packets_of(batch, found)
            self._tally.fit()

    def _clock(self, time_ns: Ints) -> None:
        """The least and the greatest stamp, and how the clock stepped back between packets."""
        self._least_ns = min(self._least_ns, int(time_ns.min()))
        self._end_ns = max(self._end_ns, int(time_ns.max()))
        back = np.append(max(0, self._last_ns - int(time_ns[0])), -np.diff(time_ns))
        self._last_ns = int(time_ns[-1])
        if (back > 0).any():
            self._backward += int((back > 0).sum())
            self._back_ns = max(self._back_ns, int(back.max()))

    def _whole(self, frames: Frames) -> None:
        window = self._all.window(frames.time_ns)
        new = begins(window)
        count = np.diff(np.append(new, len(window)))
        self._all.add(window[new], {"packets": count, "bytes": np.add.reduceat(frames.wire, new)})
        self._all.fit()

    def _quiet(self, batch: Batch, found: Headers) -> tuple[Ints, Ints]:
        """Silences of each direction and of each end; gives the rows by sender, and the senders."""
        direction = batch.direction()
        order = in_order(batch.group * 2 + batch.side)
        self._flow_silences.add(direction[order], batch.time_ns[order])
        who, rows = self._ends.by_sender(self._flows.known, direction, batch.rows, len(found))
        self._end_silences.add(who, found.frames.time_ns[rows])
        return rows, who

    def _span(self, batch: Batch) -> None:
        """The least and the greatest stamp of each flow."""
        need = int(batch.flows.max()) + 1
        if need > len(self._spans):
            more = np.tile([_NEVER, -_NEVER], (max(need, 2 * len(self._spans)) - len(self._spans), 1))
            self._spans = np.concatenate((self._spans, more))
        flows, time = batch.flows, batch.time_ns
        self._spans[flows, 0] = np.minimum(self._spans[flows, 0], np.minimum.reduceat(time, batch.starts))
        self._spans[flows, 1] = np.maximum(self._spans[flows, 1], np.maximum.reduceat(time, batch.starts))

    def _packets_of(self, batch: Batch, found: Headers) -> None:
        cells = Cells(batch, self._tally)
        cells.sum("bytes", found.frames.wire[batch.rows])
        cells.sum("payload", found.payload[batch.rows])
        kind = found.protocol[batch.rows]
        if self._joined is not None:
            kind = np.where(self._joined[batch.rows], 0, kind)
        echo = (kind == ICMP) | (kind == ICMP6)
        for chosen, measure in (
            (kind == TCP, self._add_tcp), (kind == UDP, self._add_udp), (echo, self._add_icmp),
        ):  # fmt: skip
            if chosen.all():
                measure(batch, found, cells, np.arange(len(batch)))
            elif chosen.any():
                measure(_part(batch, chosen), found, cells, np.flatnonzero(chosen))
        cells.close()

    def _add_tcp(self, batch: Batch, found: Headers, cells: Cells, rows: Ints) -> None:
        """rows: where the batch's packets are in the cells."""
        block = found.blocks(batch.rows)
        numbers = words(block)
        parts = found.fragments
        parted = np.isin(batch.rows, parts.rows[parts.first]) if len(parts.rows) else None
        segments = Segments(
            numbers[:, 1].astype(np.int64), numbers[:, 2].astype(np.int64), block[:, 13].copy(),
            column(block, 14, 2), found.payload[batch.rows], time_stamps(found, batch.rows, block), parted,
        )  # fmt: skip
        marks = self._tcp.add(batch, segments)
        for name in ("data", "again", "reordered", "gaps", "duplicates"):
            cells.mark(name, rows[getattr(marks, name)])
        self._acts.add(batch, np.flatnonzero(marks.again), np.flatnonzero(segments.having(RST)))
        self._trips.add(batch.direction(marks.trips.row) ^ 1, marks.trips)

    def _add_udp(self, batch: Batch, found: Headers, cells: Cells, rows: Ints) -> None:
        block = found.blocks(batch.rows)
        self._rtp.add(batch, block, found.there[batch.rows], found.payload[batch.rows])

    def _add_icmp(self, batch: Batch, found: Headers, cells: Cells, rows: Ints) -> None:
        block = found.blocks(batch.rows)
        asked, trips, lost, lost_ns = self._echo.add(batch, block)
        cells.mark("asked", rows[asked])
        self._trips.add(batch.direction(trips.row) ^ 1, trips)
        self._lose(lost, lost_ns)

    def _lose(self, direction: Ints, asked_ns: Ints) -> None:
        if len(direction):
            keys = key_of(direction, self._tally.window(asked_ns))
            self._tally.add(keys, {"lost": np.ones(len(keys), dtype=np.int64)})

    def result(self, name: str, capture: Capture, around: Around | None) -> Qos:
        packets, size = self._packets + capture.untimed, self._bytes + capture.untimed_bytes
        if self._begin_ns is None:
            totals = Totals(packets, size, 0.0, 0, {}, {}, 0, 0, capture.untimed, 0, 0.0, capture.damage, [])
            return Qos(name, self._window_ns / NS, totals, [], [], [], None)
        self._lose(*self._echo.rest(self._end_ns))
        streams = self._rtp.believable()
        self._tally.settle()
        self._tally.fit()
        self._all.settle()
        while self._all.window_ns < self._tally.window_ns:
            self._all.widen()
        while self._tally.window_ns < self._all.window_ns:
            self._tally.widen()
        window_s = self._tally.window_ns / NS
        _, window = direction_and_window(self._all.keys)
        first = min(0, int(window[0]))  # of a clock that stepped back: nothing begins below 0
        begin_ns = self._begin_ns + first * self._tally.window_ns
        columns = (self._all.columns["packets"].tolist(), self._all.columns["bytes"].tolist())
        windows = [(w * window_s, n, b) for w, n, b in zip((window - first).tolist(), *columns, strict=True)]
        no_ip, not_measured = (dict(sorted(counts.items())) for counts in (self._others, self._not_measured))
        totals = Totals(
            packets, size, (self._end_ns - self._least_ns) / NS, begin_ns, no_ip, not_measured,
            self._flows.further, self._again, capture.untimed, self._backward, self._back_ns / NS, capture.damage,
            windows,
        )  # fmt: skip
        deeds = Deeds(self._flows.known, self._acts, self._refusals, begin_ns)
        known = Known(
            self._flows.known, self._spans, begin_ns, first, self._tcp.handshakes, self._tally,
            self._flow_silences.longest(LONGEST), deeds,
            self._trips.percentiles((50.0, 95.0)), streams,
        )  # fmt: skip
        moments = self._moments.all()
        return Qos(
            name, window_s, totals, flow_results(known, window_s), self._end_results(deeds, moments),
            [deeds.moment(each) for each in moments], self._around(deeds, around),
        )  # fmt: skip

    def _around(self, deeds: Deeds, around: Around | None) -> AroundQos | None:
        if around is None:
            return None
        at_ns = around.time_ns if around.absolute else deeds.begin_ns + around.time_ns
        span = at_ns - AROUND_NS, at_ns + AROUND_NS - AFTER_NS
        told = tuple(deeds.of(number, *span) for number in sorted(self._acts.between(*span)))
        return AroundQos((at_ns - deeds.begin_ns) / NS, AROUND_NS / NS, told)

    def _end_results(self, deeds: Deeds, moments: list[Moment]) -> list[EndQos]:
        """Ends that were silent, what their flows did meanwhile, and what tells that they moved."""
        found = []
        for who, silences in self._end_silences.longest(LONGEST, self._end_ns).items():
            told, mine = [], self._moments.of(who, moments)
            for silence in silences:
                until = silence.begin_ns + silence.length_ns
                moved = [each for each in mine if silence.begin_ns <= each.time_ns <= until + AFTER_NS]
                busy = self._ends.flows[who] & self._acts.between(silence.begin_ns, until)
                told.append(deeds.silence(silence, busy, moved))
            found.append(EndQos(self._ends.names[who], tuple(told)))
        return sorted(found, key=lambda end: (-end.silences[0].length_s, end.address))


LONGEST = 5
"""So many silences of each flow's direction and of each end are given."""


def _part(batch: Batch, chosen: Bools) -> Batch:
    """The packets of some of the flows of a batch."""
    rows = np.flatnonzero(chosen)
    group = batch.group[rows]
    starts = begins(group)
    flows = batch.flows[group[starts]]
    renumbered = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(group)))
    return Batch(batch.rows[rows], batch.places[rows], renumbered, batch.side[rows], starts, flows, batch.time_ns[rows])
