"""Swallows what the instance's network load sends: table sink.

Config: address, port (TCP). A row every 100 ms: how many bytes have come so far.
"""

import asyncio
import time

from migrascope.node.program import Program

_INTERVAL_S = 0.1


async def main(program: Program) -> None:
    received = 0

    async def discard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        try:
            while data := await reader.read(2**16):
                received += len(data)
        except OSError:
            pass  # a sender that breaks off has sent no more than came
        finally:
            writer.close()

    server = await asyncio.start_server(discard, program.config["address"], program.config["port"])
    with program.spool("sink") as spool:
        program.ready()
        async for _ in program.grid(_INTERVAL_S, drain=False):
            spool.add(time.monotonic_ns(), received)
    server.close()


if __name__ == "__main__":
    Program.from_argv().run(main)
