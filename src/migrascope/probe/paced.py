"""Sends a prober's packets at a fixed rate and records them, for every kind of probe.

Each packet has an absolute deadline; one that is due while the process could not run is sent late, with both stamps
recorded. Everything else is done in batches, since a process that wakes with cold caches is slow: replies are read
every 50 ms, which costs no accuracy, for their stamps are the kernel's.
"""

import gc
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from migrascope.node.program import Program
from migrascope.store.spool import Spool

_LOWEST_PRIORITY = 1
_BATCH_S = 0.05
_MOST_READ = 200  # about 1 ms of work: the flood after a blackout must not delay the next request


class Prober(Protocol):
    """What sends packets and takes their replies, never blocking."""

    def request(self, seq: int) -> bytes:
        """A packet for `send`."""

    def send(self, packet: bytes) -> int:
        """Sends it and returns the stamp right before (ns)."""

    def receive(self, most: int) -> Sequence[tuple[int, ...]]:
        """The replies that have come, `most` packets at a time, as rows of their table."""


def probe(program: Program, prober: Prober, rate: float, sent: Spool, replies: Spool) -> None:
    """Sends `rate` packets a second until the program drains, receives until it ends. Rows of `sent`: (seq, due_ns,
    sent_ns)."""
    batch = max(1, round(rate * _BATCH_S))
    _undisturbed()
    program.ready()
    start, seq = time.monotonic_ns(), 0
    while not program.draining:
        requests = [(at, start + round(at * 1e9 / rate), prober.request(at)) for at in range(seq, seq + batch)]
        rows = _send(program, prober, requests)
        seq += len(rows)
        sent.add_all(rows)
        replies.add_all(prober.receive(_MOST_READ))
    while not program.ending:
        time.sleep(_BATCH_S)
        sent.tick()
        replies.add_all(prober.receive(_MOST_READ))


def _send(program: Program, prober: Prober, requests: list[tuple[int, int, bytes]]) -> list[tuple[int, int, int]]:
    """Rows for (seq, due, packet), each sent when due; fewer when the program drains meanwhile."""
    rows = []
    for seq, due, packet in requests:
        left = due - time.monotonic_ns()
        if left > 0:
            time.sleep(left / 1e9)
        if program.draining:
            break
        rows.append((seq, due, prober.send(packet)))
    return rows


def _undisturbed() -> None:
    """Keeps the garbage collector and ordinary processes out of the way; what is not permitted is gone without."""
    gc.collect()
    gc.freeze()
    gc.disable()
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_LOWEST_PRIORITY))
