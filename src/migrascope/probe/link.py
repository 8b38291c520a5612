"""Byte and packet counters of the switch's ports: table link.

Config: ports ({interface: [link, node]}), interval_s (0: only at the beginning and at the end). Runs in the
namespace of the switch and reads /proc/net/dev (counters of 64 bits). A port that is not there has no row, nor one that
is made anew while it is read: whose counters these are is then not known.
"""

import socket
import time
from typing import NamedTuple, TextIO

from migrascope.node.program import Program


class Counters(NamedTuple):
    """One interface's totals, seen from the interface itself."""

    rx_bytes: int
    rx_packets: int
    tx_bytes: int
    tx_packets: int
    drops: int


def counters(text: str) -> dict[str, Counters]:
    """The interfaces of /proc/net/dev; drops are those of both directions."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        value = [int(word) for word in rest.split()]
        found[name.strip()] = Counters(value[0], value[1], value[8], value[9], value[3] + value[11])
    return found


def read_counters(file: TextIO) -> tuple[int, dict[str, Counters]]:
    """(stamp in ns: the middle of the read, counters) of an open /proc/net/dev."""
    before = time.monotonic_ns()
    file.seek(0)
    text = file.read()
    return (before + time.monotonic_ns()) // 2, counters(text)


def indices() -> dict[str, int]:
    """The kernel's number of each interface: one that is made anew under its old name has another."""
    return {name: index for index, name in socket.if_nameindex()}


async def main(program: Program) -> None:
    ports: dict[str, list[str]] = program.config["ports"]
    with open("/proc/net/dev", encoding="ascii") as file, program.spool("link") as spool:

        def record() -> None:
            before = indices()
            mono, now = read_counters(file)
            after = indices()
            spool.add_all(
                # what the switch receives on a port is what the node behind it sent
                (mono, link, node, at.tx_bytes, at.tx_packets, at.rx_bytes, at.rx_packets, at.drops, index)
                for port, (link, node) in ports.items()
                if (at := now.get(port)) is not None
                and (index := before.get(port)) is not None
                and index == after.get(port)
            )

        record()
        program.ready()
        if program.config["interval_s"]:
            async for _ in program.grid(program.config["interval_s"], drain=False):
                record()
        await program.ended()
        record()


if __name__ == "__main__":
    Program.from_argv().run(main)
