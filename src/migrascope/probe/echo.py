"""Probes at a fixed rate: tables echo_sent and echo_reply.

Config: target (IPv4 address), rate (1/s), kind (icmp: echo requests; tcp: handshakes with port 80). Each request has
an absolute deadline; one that is due while the process could not run is sent late, with both stamps recorded.
Everything else is done in batches, since a process that wakes with cold caches is slow: replies are read every 50 ms,
which costs no accuracy, for their stamps are the kernel's.
"""

import gc
import os
import time
from contextlib import suppress

from migrascope.node.program import Program
from migrascope.probe.connect import ConnectSocket
from migrascope.probe.icmp import EchoSocket

Prober = EchoSocket | ConnectSocket
_LOWEST_PRIORITY = 1
_BATCH_S = 0.05
_WEBSITE = 80
_MOST_READ = 200  # about 1 ms of work: the flood after a blackout must not delay the next request


def main(program: Program) -> None:
    """Sends until the program drains, receives until it ends."""
    rate = program.config["rate"]
    batch = max(1, round(rate * _BATCH_S))
    with (
        _socket(program.config["kind"], program.config["target"]) as echo,
        program.spool("echo_sent") as sent,
        program.spool("echo_reply") as replies,
    ):
        _undisturbed()
        program.ready()
        start, seq = time.monotonic_ns(), 0
        while not program.draining:
            requests = [(at, start + round(at * 1e9 / rate), echo.request(at)) for at in range(seq, seq + batch)]
            rows = _send(program, echo, requests)
            seq += len(rows)
            sent.add_all(rows)
            replies.add_all(echo.receive(_MOST_READ))
        while not program.ending:
            time.sleep(_BATCH_S)
            sent.tick()
            replies.add_all(echo.receive(_MOST_READ))


def _socket(kind: str, target: str) -> Prober:
    return EchoSocket(target) if kind == "icmp" else ConnectSocket(target, _WEBSITE)


def _send(
    program: Program, echo: EchoSocket | ConnectSocket, requests: list[tuple[int, int, bytes]]
) -> list[tuple[int, int, int]]:
    """Rows of echo_sent for (seq, due, packet), each sent when due; fewer when the program drains meanwhile."""
    rows = []
    for seq, due, packet in requests:
        left = due - time.monotonic_ns()
        if left > 0:
            time.sleep(left / 1e9)
        if program.draining:
            break
        rows.append((seq, due, echo.send(packet)))
    return rows


def _undisturbed() -> None:
    """Keeps the garbage collector and ordinary processes out of the way; what is not permitted is gone without."""
    gc.collect()
    gc.freeze()
    gc.disable()
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_LOWEST_PRIORITY))


if __name__ == "__main__":
    main(Program.from_argv())
