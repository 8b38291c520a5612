"""From which node the instance's frames come: table frame.

Config: mac (of the instance), ports ({interface: node}), interval_s. Runs in the namespace of the interfaces: the
switch's ports, or the instance's taps, which come and go with it. The kernel counts (packet(7), PACKET_STATISTICS) what
a filter lets through on its way in: no frame is read.
"""

import contextlib
import socket
import struct
import time

from migrascope.node.program import Program
from migrascope.probe.bpf import EQUAL, LOAD_HALF, LOAD_WORD, RETURN, assembled, attach

_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PACKET_IGNORE_OUTGOING = 23


def source_filter(mac: str) -> bytes:
    """Classic BPF: what this MAC sends."""
    source = bytes.fromhex(mac.replace(":", ""))
    program = (
        (LOAD_WORD, 0, 0, 6),  # the first four bytes of the sender's address
        (EQUAL, 0, 3, int.from_bytes(source[:4], "big")),
        (LOAD_HALF, 0, 0, 10),  # its last two
        (EQUAL, 0, 1, int.from_bytes(source[4:], "big")),
        (RETURN, 0, 0, 1),  # let through, of which one byte is enough
        (RETURN, 0, 0, 0),
    )
    return assembled(program)


class FrameCounter:
    """Counts the frames of one sender that come in at one interface. OSError when there is no such interface."""

    def __init__(self, interface: str, mac: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        attach(self._socket, source_filter(mac))
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # what does not fit is counted all the same
        try:
            self._socket.bind((interface, _ETH_P_ALL))
        except OSError:
            self._socket.close()
            raise

    def taken(self) -> int:
        """How many came since the last call, or since the beginning."""
        counted: int = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[0]
        return counted

    def close(self) -> None:
        self._socket.close()


async def main(program: Program) -> None:
    ports: dict[str, str] = program.config["ports"]
    counters: dict[str, FrameCounter] = {}

    def begin() -> None:
        for port in ports.keys() - counters.keys():
            with contextlib.suppress(OSError):  # it has not come yet
                counters[port] = FrameCounter(port, program.config["mac"])

    with program.spool("frame") as spool:
        before = time.monotonic_ns()
        begin()
        program.ready()
        async for _ in program.grid(program.config["interval_s"], drain=False):
            now = time.monotonic_ns()
            spool.add_all((before, now, ports[port], counter.taken()) for port, counter in counters.items())
            before = now
            begin()
    for counter in counters.values():
        counter.close()


if __name__ == "__main__":
    Program.from_argv().run(main)
