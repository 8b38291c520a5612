"""Sends probers' packets at fixed rates and records them, for every kind of probe.

Each packet has an absolute deadline; one that is due while the process could not run is sent late, with both stamps
recorded. Everything else is done in batches, since a process that wakes with cold caches is slow: replies are read
every 50 ms, which costs no accuracy, for their stamps are the kernel's.
"""

import gc
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic_ns, sleep
from typing import Protocol

from migrascope.model.manners import MOST_DOUBLED_S, PAUSE_S
from migrascope.node.program import Program
from migrascope.store.spool import Spool

_LOWEST_PRIORITY = 1
_BATCH_NS = 50_000_000
_MOST_READ = 200  # about 1 ms of work: the flood after a blackout must not delay the next request
_LEAST_READ = 10
PROHIBITED = "ICMP: administratively prohibited"


class Prober(Protocol):
    """What sends packets and takes their replies, never blocking."""

    def request(self, seq: int) -> bytes:
        """A packet for `send`."""

    def send(self, packet: bytes) -> int:
        """Sends it and returns the stamp right before (ns)."""

    def receive(self, most: int) -> Sequence[tuple[int, ...]]:
        """The replies that have come, `most` packets at a time, as rows of their table."""


@dataclass(eq=False)
class Heed:
    """A prober that stops for a while when it is told to. told: whether it was, since it was asked last; pauses: where
    its pauses are recorded. A pause is twice as long as the one before, unless there was a reply meanwhile."""

    told: Callable[[], bool]
    pauses: Spool
    until_ns: int = 0
    _pause_s: float = PAUSE_S

    def look(self, now_ns: int, *, replied: bool) -> None:
        """Begins a pause where it was told to stop."""
        told = self.told()
        if replied:
            self._pause_s = PAUSE_S
        if told and now_ns >= self.until_ns:
            self.pause(now_ns)
        self.pauses.tick()

    def pause(self, now_ns: int) -> None:
        """Begins a pause."""
        self.until_ns = now_ns + round(self._pause_s * 1e9)
        self._pause_s = min(MOST_DOUBLED_S, 2 * self._pause_s)
        self.pauses.add(now_ns, self.until_ns, PROHIBITED)


@dataclass(eq=False)
class Stream:
    """The packets of one prober: `rate` a second, the first one `phase_ns` after the begin of all streams. Rows of
    `sent`: (seq, due_ns, sent_ns). heed: None for one that nobody can tell to stop. What is left out in a pause has no
    number."""

    prober: Prober
    rate: float
    sent: Spool
    replies: Spool
    phase_ns: int = 0
    heed: Heed | None = None
    _next: int = 0
    _left_out: int = 0

    def due(self, start_ns: int, until_ns: int) -> "list[tuple[int, int, Stream, bytes]]":
        """(due, seq, stream, packet) of what is due before `until_ns` and was not asked for before."""
        found = []
        pause_ns = 0 if self.heed is None else self.heed.until_ns
        while (due := start_ns + self.phase_ns + round((self._next + self._left_out) * 1e9 / self.rate)) < until_ns:
            if due < pause_ns:
                self._left_out += 1
                continue
            found.append((due, self._next, self, self.prober.request(self._next)))
            self._next += 1
        return found

    def receive(self, most: int) -> None:
        """Records what replies have come, `most` packets at most."""
        came = self.prober.receive(most)
        self.replies.add_all(came)
        if self.heed is not None:
            self.heed.look(monotonic_ns(), replied=bool(came))


def probe(program: Program, streams: Sequence[Stream]) -> None:
    """Sends until the program drains, receives until it ends."""
    most = max(_LEAST_READ, _MOST_READ // len(streams))
    _undisturbed()
    program.ready()
    start = until = monotonic_ns()
    while not program.draining:
        until += _BATCH_NS
        _send(program, streams, start, until)
        for stream in streams:
            stream.receive(most)
    while not program.ending:
        sleep(_BATCH_NS / 1e9)
        for stream in streams:
            stream.sent.tick()
            stream.receive(most)


def _send(program: Program, streams: Sequence[Stream], start_ns: int, until_ns: int) -> None:
    """Sends and records what is due before `until_ns`, each packet when it is due; fewer when the program drains
    meanwhile."""
    requests = [request for stream in streams for request in stream.due(start_ns, until_ns)]
    if len(streams) > 1:
        requests.sort(key=lambda request: request[0])
    stamps = []
    # With cold caches each call and each look-up costs: the loop that wakes does nothing else.
    for due, send, packet in [(due, stream.prober.send, packet) for due, _, stream, packet in requests]:
        left = due - monotonic_ns()
        if left > 0:
            sleep(left / 1e9)
        if program.draining:
            break
        stamps.append(send(packet))
    rows: dict[Stream, list[tuple[int, int, int]]] = {stream: [] for stream in streams}
    for (due, seq, stream, _), sent in zip(requests, stamps, strict=False):
        rows[stream].append((seq, due, sent))
    if not requests:
        # The middle, because at the end the next packet may be due, which reading replies would delay.
        sleep(max(0, until_ns - _BATCH_NS // 2 - monotonic_ns()) / 1e9)
    for stream, found in rows.items():
        stream.sent.add_all(found)


def _undisturbed() -> None:
    """Keeps the garbage collector and ordinary processes out of the way; what is not permitted is gone without."""
    gc.collect()
    gc.freeze()
    gc.disable()
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_LOWEST_PRIORITY))
