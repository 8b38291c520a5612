"""Round-trip probes to many addresses from one process: tables echo_sent and echo_reply of each, and back_off of those
that are asked by ICMP.

Config: targets, each {source, instance, address, port (0: ICMP echo requests, else handshakes with it), rate (1/s),
prohibited (ICMP has said so before: it begins with a pause)}; a target's source names its spools. part_s: seconds after
which a spool goes on in another file; None: never.
"""

import resource
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from migrascope.node.program import Program
from migrascope.probe.connect import GIVEN_UP_NS, ConnectSocket
from migrascope.probe.icmp import EchoSocket
from migrascope.probe.paced import Heed, Stream, probe
from migrascope.store.spool import Spool

_TICK_NS = 2_000_000
"""Addresses are asked in turn, but so many at once that the process wakes no more than 500 times a second."""
_FLUSH_S, _FLUSH_S_EACH, _MOST_FLUSH_S = 0.05, 0.002, 0.2
_FILES_EACH, _FILES = 4, 64
"""Open files: of each target its socket and its spools, and what there is anyway."""


def main(program: Program) -> None:
    """Sends until the program drains, receives until it ends."""
    targets = program.config["targets"]
    _need_files(targets)
    try:
        with ExitStack() as stack:
            probe(program, [_stream(program.config, stack, at, targets) for at in range(len(targets))])
    except OSError as error:
        sys.exit(f"cannot record in {program.config['directory']}: {error.strerror}")


def _need_files(targets: list[dict[str, Any]]) -> None:
    """Raises the limit of open files as far as it takes. A handshake is one until it is answered or given up."""
    handshakes = sum(target["rate"] for target in targets if target["port"]) * GIVEN_UP_NS / 1e9
    wanted = _FILES + _FILES_EACH * len(targets) + round(handshakes)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"{wanted} open files are needed, and {hard} allowed (ulimit -Hn): fewer addresses, or a lower rate")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _stream(config: dict[str, Any], stack: ExitStack, at: int, targets: list[dict[str, Any]]) -> Stream:
    target = targets[at]
    address, port, rate = target["address"], target["port"], target["rate"]
    prober = ConnectSocket(address, port) if port else EchoSocket(address)
    stack.callback(prober.close)

    def spool(table: str) -> Spool:
        return stack.enter_context(
            Spool(
                Path(config["directory"]), table, source=target["source"], host=config["host"],
                instance=target["instance"], migration=config["migration"], part_s=config["part_s"],
                flush_s=min(max(_FLUSH_S, _FLUSH_S_EACH * len(targets)), _MOST_FLUSH_S),
            )
        )  # fmt: skip

    heed = None
    if isinstance(prober, EchoSocket):
        prober.heed()
        heed = Heed(prober.prohibited, spool("back_off"))
        if target["prohibited"]:
            heed.pause(time.monotonic_ns())
    phase = round(at * 1e9 / rate / len(targets))
    return Stream(prober, rate, spool("echo_sent"), spool("echo_reply"), phase - phase % _TICK_NS, heed)


if __name__ == "__main__":
    main(Program.from_argv())
