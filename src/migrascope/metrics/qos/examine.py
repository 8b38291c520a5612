"""A capture read once: every flow's delay, jitter, loss and throughput."""

from pathlib import Path

import numpy as np

from migrascope.metrics.qos.echo import Echo
from migrascope.metrics.qos.flows import Batch, Flows, measurable
from migrascope.metrics.qos.result import Qos, Totals
from migrascope.metrics.qos.rtp import Rtp
from migrascope.metrics.qos.tally import Cells, Tally, Trips, direction_and_window, key_of
from migrascope.metrics.qos.tcp import Segments, Tcp
from migrascope.metrics.qos.verdicts import Known, flow_results
from migrascope.store.pcap.frames import Frames, Ints, column, words
from migrascope.store.pcap.layers import ICMP, ICMP6, TCP, UDP, Bools, Headers, headers, time_stamps
from migrascope.store.pcap.reader import Capture

NS = 1e9


def examine(path: Path, *, window_s: float = 1.0, server: str | None = None) -> Qos:
    """The figures of every flow of a capture, or of those with one address. Where flows times windows are too many, the
    windows of flows are longer. CaptureError where it cannot be read."""
    capture = Capture(path)
    found = _Reading(round(window_s * NS), server)
    for frames in capture.batches():
        found.add(frames)
    return found.result(str(path), window_s, capture.cut)


class _Reading:
    """What has been learnt so far."""

    def __init__(self, window_ns: int, server: str | None) -> None:
        self._window_ns = window_ns
        self._begin_ns: int | None = None
        self._end_ns = 0
        self._packets = self._bytes = self._no_ip = self._not_measured = 0
        self._flows = Flows(server)
        self._tcp, self._echo = Tcp(), Echo()
        self._spans = np.zeros((0, 2), dtype=np.int64)

    def add(self, frames: Frames) -> None:
        if self._begin_ns is None:
            self._begin_ns = int(frames.time_ns[0])
            self._tally = Tally(self._window_ns, self._begin_ns)
            self._all = Tally(self._window_ns, self._begin_ns)
            self._trips = Trips(self._tally)
            self._rtp = Rtp(self._tally)
        self._end_ns = max(self._end_ns, int(frames.time_ns.max()))
        self._packets += len(frames)
        self._bytes += int(frames.wire.sum())
        self._whole(frames)
        found = headers(frames)
        self._no_ip += int((found.version == 0).sum())
        chosen = measurable(found)
        batch = self._flows.batch(found, chosen)
        self._not_measured += int(((found.version > 0) & ~chosen).sum())
        if len(batch):
            self._span(batch)
            self._packets_of(batch, found)
            self._tally.fit()

    def _whole(self, frames: Frames) -> None:
        window = self._all.window(frames.time_ns)
        new = np.flatnonzero(np.diff(window, prepend=-1))
        count = np.diff(np.append(new, len(window)))
        self._all.add(window[new], {"packets": count, "bytes": np.add.reduceat(frames.wire, new)})

    def _span(self, batch: Batch) -> None:
        """First and last packet of each flow."""
        need = int(batch.flows.max()) + 1
        if need > len(self._spans):
            more = np.zeros((max(need, 2 * len(self._spans)) - len(self._spans), 2), dtype=np.int64)
            self._spans = np.concatenate((self._spans, more))
        last = np.append(batch.starts[1:], len(batch)) - 1
        first_ns = self._spans[batch.flows, 0]
        self._spans[batch.flows, 0] = np.where(first_ns > 0, first_ns, batch.time_ns[batch.starts])
        self._spans[batch.flows, 1] = batch.time_ns[last]

    def _packets_of(self, batch: Batch, found: Headers) -> None:
        cells = Cells(batch, self._tally)
        cells.sum("bytes", found.frames.wire[batch.rows])
        cells.sum("payload", found.payload[batch.rows])
        kind = found.protocol[batch.rows]
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
        block = found.transport_headers(batch.rows, 32)
        numbers = words(block)
        segments = Segments(
            numbers[:, 1].astype(np.int64), numbers[:, 2].astype(np.int64), block[:, 13].astype(np.int64),
            column(block, 14, 2), found.payload[batch.rows], time_stamps(found, batch.rows, block),
        )  # fmt: skip
        marks = self._tcp.add(batch, segments)
        for name in ("data", "again", "reordered", "gaps", "duplicates"):
            cells.mark(name, rows[getattr(marks, name)])
        answer = marks.trips.row
        self._trips.add(batch.flows[batch.group[answer]] * 2 + 1 - batch.side[answer], marks.trips)

    def _add_udp(self, batch: Batch, found: Headers, cells: Cells, rows: Ints) -> None:
        block = found.transport_headers(batch.rows, 20)
        self._rtp.add(batch, block, found.there[batch.rows], found.payload[batch.rows])

    def _add_icmp(self, batch: Batch, found: Headers, cells: Cells, rows: Ints) -> None:
        block = found.transport_headers(batch.rows, 8)
        asked, trips, lost, lost_ns = self._echo.add(batch, block)
        cells.mark("asked", rows[asked])
        self._trips.add(batch.flows[batch.group[trips.row]] * 2 + 1 - batch.side[trips.row], trips)
        self._lose(lost, lost_ns)

    def _lose(self, direction: Ints, asked_ns: Ints) -> None:
        if len(direction):
            keys = key_of(direction, self._tally.window(asked_ns))
            self._tally.add(keys, {"lost": np.ones(len(keys), dtype=np.int64)})

    def result(self, name: str, window_s: float, cut: bool) -> Qos:
        if self._begin_ns is None:
            return Qos(name, window_s, Totals(0, 0, 0.0, 0, 0, 0, 0, cut, []), [])
        self._lose(*self._echo.rest(self._end_ns))
        self._tally.settle()
        self._tally.fit()
        self._all.settle()
        _, window = direction_and_window(self._all.keys)
        columns = (self._all.columns["packets"].tolist(), self._all.columns["bytes"].tolist())
        windows = [(w * window_s, n, size) for w, n, size in zip(window.tolist(), *columns, strict=True)]
        totals = Totals(
            self._packets, self._bytes, (self._end_ns - self._begin_ns) / NS, self._begin_ns, self._no_ip,
            self._not_measured, self._flows.further, cut, windows,
        )  # fmt: skip
        known = Known(
            self._flows.known, self._spans, self._begin_ns, self._tcp.initial_ns, self._tally,
            self._trips.percentiles((50.0, 95.0)), self._rtp.believable(),
        )  # fmt: skip
        window_s = self._tally.window_ns / NS
        return Qos(name, window_s, totals, flow_results(known, window_s))


def _part(batch: Batch, chosen: Bools) -> Batch:
    """The packets of some of the flows of a batch."""
    rows = np.flatnonzero(chosen)
    group = batch.group[rows]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    flows = batch.flows[group[starts]]
    renumbered = np.cumsum(np.diff(group, prepend=-1) != 0) - 1
    return Batch(batch.rows[rows], batch.places[rows], renumbered, batch.side[rows], starts, flows, batch.time_ns[rows])
