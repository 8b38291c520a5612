"""A capture of the visitors' network: capture@SOURCE.pcapng, and table capture.

Config: addresses (what comes from or goes to one of them is captured; the first one is of IPv4), snaplen (bytes kept of
each packet). It captures on the interface that leads to the first address, in its own network namespace. Stamps are the
kernel's. After SIGUSR1 it goes on; after SIGTERM it writes all that the kernel handed over. Whatever ends it, the file
is whole but for its last packet.
"""

import socket
import struct
import time
from pathlib import Path
from typing import BinaryIO

from migrascope.node.program import Program
from migrascope.probe.ring import Ring, filter_program
from migrascope.store.pcap.writer import header, packet
from migrascope.store.spool import Spool

_COUNT_S = 1.0
_WAIT_S = 0.1
_LAST_S = 2.0
_INWARD, _OUTWARD = 1, 2
_UP = 1


def interface_to(address: str, routes: str) -> str:
    """The interface of the longest route to an address in the text of /proc/net/route. LookupError without one."""
    number = struct.unpack("@I", socket.inet_aton(address))[0]
    found = []
    for line in routes.splitlines()[1:]:
        name, network, _, flags, *_, mask, _, _, _ = line.split()
        if int(flags, 16) & _UP and number & int(mask, 16) == int(network, 16):
            found.append((int(mask, 16).bit_count(), name))
    if not found:
        raise LookupError(f"no route to {address}")
    return max(found)[1]


def main(program: Program) -> None:
    """Captures until the program ends."""
    config = program.config
    interface = interface_to(config["addresses"][0], Path("/proc/net/route").read_text(encoding="ascii"))
    path = Path(config["directory"]) / f"capture@{config['source']}.pcapng"
    filter_ = filter_program(config["addresses"], config["snaplen"])
    with Ring(interface, filter_) as ring, path.open("wb", buffering=0) as file, program.spool("capture") as spool:
        file.write(header(interface, config["snaplen"]))
        program.ready()
        due, written = time.monotonic() + _COUNT_S, 0
        while not program.ending:
            ring.wait(_WAIT_S)
            written += _write(ring, file)
            if time.monotonic() >= due:
                due += _COUNT_S
                _record(ring, spool, interface)
        ring.shut()
        _record(ring, spool, interface)
        last = time.monotonic() + _LAST_S
        while written < ring.packets and time.monotonic() < last:
            ring.wait(_WAIT_S)
            written += _write(ring, file)


def _write(ring: Ring, file: BinaryIO) -> int:
    """Writes every block that is ready; gives the number of its packets."""
    count = 0
    while blocks := [
        packet(frame.time_ns, frame.data, frame.wire, _OUTWARD if frame.sent else _INWARD) for frame in ring.block()
    ]:
        file.write(b"".join(blocks))
        count += len(blocks)
    return count


def _record(ring: Ring, spool: Spool, interface: str) -> None:
    packets, drops = ring.count()
    spool.add(time.monotonic_ns(), interface, packets, drops)


if __name__ == "__main__":
    main(Program.from_argv())
