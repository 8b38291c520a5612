"""What the load in the guest has reached: table stress.

Config: url (of the guest's agent), interval_s. One request at a time; one that is not answered leaves no row.
"""

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from migrascope.node.program import Program
from migrascope.store.document import parse_object

TIMEOUT_S = 5.0
_WORKERS: TypeAdapter[list[dict[str, object]]] = TypeAdapter(list[dict[str, object]])


async def workers(url: str) -> list[dict[str, object]]:
    """What the agent says of its workers. OSError or ValueError when it does not."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port or 80)
    try:
        writer.write(f"GET /stress HTTP/1.0\r\nHost: {target.netloc}\r\n\r\n".encode("ascii"))
        body = (await reader.read(-1)).partition(b"\r\n\r\n")[2]
        return _WORKERS.validate_python(parse_object(body).get("workers"))
    finally:
        writer.close()


async def main(program: Program) -> None:
    url = program.config["url"]
    with program.spool("stress") as spool:
        columns = [*spool.table.columns][2:]
        program.ready()
        async for _ in program.grid(program.config["interval_s"]):
            asked = time.monotonic_ns()
            with suppress(OSError, ValueError, LookupError):
                found = await asyncio.wait_for(workers(url), TIMEOUT_S)
                answered = time.monotonic_ns()
                spool.add_all((asked, answered, *(worker[column] for column in columns)) for worker in found)
        await program.ended()


if __name__ == "__main__":
    Program.from_argv().run(main)
