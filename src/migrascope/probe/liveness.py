"""Whether the guest that answers is still the same one: table liveness.

Config: url (of the guest's agent), interval_s. GET /alive?id=N on a connection of its own each time, so that a request
that hangs holds up no other. Rows come in the order of the answers.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from migrascope.node.program import Program

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Alive:
    """What the agent says: its boot, how many answers it has given since, and its hash over their requests' ids."""

    boot_id: str
    counter: int
    hash: str


def parse_alive(response: bytes) -> Alive:
    """The agent's answer out of a whole HTTP response. ValueError for any other than a 200 with its JSON."""
    head, _, body = response.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise ValueError(f"status {status[0].decode('ascii', 'replace')}" if status else "no response")
    try:
        answer = json.loads(body)
        return Alive(str(answer["boot_id"]), int(answer["counter"]), str(answer["hash"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not the agent's answer: {error!r}") from error


async def ask(url: str, request_id: str) -> Alive:
    """One request. OSError when there is no connection, ValueError when the answer is not the agent's."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port or 80)
    try:
        writer.write(f"GET /alive?id={request_id} HTTP/1.0\r\nHost: {target.netloc}\r\n\r\n".encode("ascii"))
        return parse_alive(await reader.read(-1))
    finally:
        writer.close()


async def main(program: Program) -> None:
    url = program.config["url"]
    with program.spool("liveness") as spool:

        async def record(seq: int, _due_ns: int) -> None:
            asked, request = time.monotonic_ns(), str(seq)
            try:
                alive = await asyncio.wait_for(ask(url, request), TIMEOUT_S)
                spool.add(asked, time.monotonic_ns(), request, alive.boot_id, alive.counter, alive.hash, "")
            except (OSError, ValueError) as error:
                spool.add(asked, 0, request, "", 0, "", str(error) or type(error).__name__)

        program.ready()
        await program.at_each(program.grid(program.config["interval_s"]), record)


if __name__ == "__main__":
    Program.from_argv().run(main)
