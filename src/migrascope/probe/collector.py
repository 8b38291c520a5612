"""The outside of the guest's ledger: takes its records and gives receipts. Table ledger.

Config: address, port (UDP). Every record that comes is recorded before its receipt goes out, one that comes again too:
each has a receipt of its own. Anything that is not a whole record is left unanswered.
"""

import asyncio
import time
from typing import cast

from migrascope.model.witness import parse_record
from migrascope.node.program import Program
from migrascope.store.spool import Spool


class Collector(asyncio.DatagramProtocol):
    """Answers "NUMBER RECEIPT" to each record."""

    def __init__(self, spool: Spool) -> None:
        self._spool, self._given = spool, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        received = time.monotonic_ns()
        record = parse_record(data)
        if record is None:
            return
        self._given += 1
        self._spool.add(received, *record, self._given)
        self._spool.flush()
        self._transport.sendto(f"{record[0]:012d} {self._given:08x}".encode(), addr)


async def main(program: Program) -> None:
    address = program.config["address"], program.config["port"]
    with program.spool("ledger") as spool:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Collector(spool), local_addr=address)
        program.ready()
        await program.ended()
        transport.close()


if __name__ == "__main__":
    Program.from_argv().run(main)
