"""Frames of TCP to and from one port, as the switch forwards them: table flow.

Config: port, interval_s (0: only at the beginning and at the end). Runs in the namespace of the switch. A kernel that
has no nftables for bridges counts nothing, and the table stays empty.
"""

import time

from pyroute2.netlink.exceptions import NetlinkError

from migrascope.node.flow import Flow
from migrascope.node.program import Program

_NAME = "flow"
_IDLE_S = 1.0


def main(program: Program) -> None:
    interval_s = program.config["interval_s"]
    with program.spool("flow") as spool:
        flow = _begun(program.config["port"])

        def record() -> None:
            if flow is not None:
                before = time.monotonic_ns()
                passed = flow.read()
                spool.add((before + time.monotonic_ns()) // 2, *passed)
                program.tick()

        record()
        program.ready()
        for _ in program.ticks(interval_s or _IDLE_S):
            if interval_s:
                record()
        record()
        if flow is not None:
            flow.remove()


def _begun(port: int) -> Flow | None:
    try:
        return Flow(_NAME, port)
    except NetlinkError:
        return None


if __name__ == "__main__":
    main(Program.from_argv())
