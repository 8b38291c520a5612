"""Whether the guest that answers is still the same one: table liveness.

Config: address, port (of the guest's agent), interval_s. Each request is a UDP datagram "alive N", which costs an
emulated guest far less than a connection would; one that is lost is not sent again, the next one follows. Rows come in
the order of the answers; a request has had none after TIMEOUT_S.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from migrascope.node.program import Program
from migrascope.store.spool import Spool

TIMEOUT_S = 10.0
NS = 10**9


@dataclass(frozen=True)
class Alive:
    """What the agent says: to which request, its boot, how many answers it has given since, and its hash over their
    requests' ids."""

    request: str
    boot_id: str
    counter: int
    hash: str


def parse_alive(datagram: bytes) -> Alive:
    """The agent's answer. ValueError for anything else."""
    words = datagram.decode("ascii").split(" ")
    if len(words) != 4:
        raise ValueError(f"not the agent's answer: {datagram[:40]!r}")
    return Alive(words[0], words[1], int(words[2]), words[3])


class Requests(asyncio.DatagramProtocol):
    """The requests that wait for their answer."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._asked: dict[str, int] = {}
        self._trouble = ""

    def ask(self, transport: asyncio.DatagramTransport, seq: int) -> None:
        """Sends one."""
        self._asked[str(seq)] = time.monotonic_ns()
        transport.sendto(b"alive %d" % seq)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Of several answers to a request the first counts."""
        answered = time.monotonic_ns()
        try:
            alive = parse_alive(data)
        except ValueError as error:
            self._trouble = str(error)
            return
        asked = self._asked.pop(alive.request, None)
        if asked is not None:
            self._trouble = ""
            self._spool.add(asked, answered, alive.request, alive.boot_id, alive.counter, alive.hash, "")

    def error_received(self, error: Exception) -> None:
        """The kernel says why the last one did not get through."""
        self._trouble = str(error)

    def give_up(self, before_ns: int, why: str) -> None:
        """Records those that were asked before a stamp as unanswered."""
        for request in [request for request, asked in self._asked.items() if asked < before_ns]:
            asked = self._asked.pop(request)
            self._spool.add(asked, 0, request, "", 0, "", self._trouble or why)


async def main(program: Program) -> None:
    config = program.config
    with program.spool("liveness") as spool:
        loop = asyncio.get_running_loop()
        where = (config["address"], config["port"])
        transport, requests = await loop.create_datagram_endpoint(lambda: Requests(spool), remote_addr=where)
        program.ready()
        seq = 0
        async for _ in program.grid(config["interval_s"]):
            requests.ask(transport, seq)
            requests.give_up(time.monotonic_ns() - round(TIMEOUT_S * NS), f"no answer within {TIMEOUT_S:g} s")
            seq += 1
        await program.ended()
        requests.give_up(time.monotonic_ns(), "no answer before the end")
        transport.close()


if __name__ == "__main__":
    Program.from_argv().run(main)
