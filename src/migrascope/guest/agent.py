"""The agent in the guest: says that this incarnation lives, that its memory is whole, and does what it is told.

Runs in the guest, on python3-minimal.

GET /ready                    200 once nginx answers, 503 before
GET /alive?id=X               {"boot_id", "counter", "hash"}: counter rises by one, hash chains over every id answered
UDP "alive X"                 "X BOOT_ID COUNTER HASH": the same in one datagram each way, which costs a tenth; at the
                              guest's IPv6 address, too
GET /witness                  {"whole", "pages", "rewritten", "bad"}: every page of the memory witness, checked now
POST /witness?rewriting=on|off   {"rewriting"}: whether its pages are rewritten all the time (they are)
POST /cache?state=warm|cold   {"state", "bytes", "page_cache_bytes"}: the videos read into the page cache or dropped
POST /resident?bytes=N        {"bytes"}: so much memory filled with bytes that no page shares and nothing compresses
GET /load                     {"loadavg": [1, 5, 15 min], "uptime_s", "idle_s", "cpus"}: idle_s of all together
POST /ledger?to=HOST:PORT&rate=N   {"started"}: the ledger reports to the collector there
POST /stress?kind=K&...       {"started"}: a worker; its options are guest/stress.py's
POST /reflector?port=N        {"started"}: a reflector of STAMP (RFC 8762) on that UDP port
POST /stop?what=NAME          {"stopped"}: the workers of stress, ledger or reflector are gone
GET /stress, /ledger, /reflector   {"workers": [{"worker", "work", "state", "bytes", "operations", "guest_s", "cpu_s",
                              "reason"}]}: totals since the start, and the guest's monotonic clock when they were so
"""

import os
import socket
import sys

from migrascope.guest.memory import Resident, Witness, cache
from migrascope.guest.server import Server
from migrascope.guest.steps import Steps
from migrascope.guest.workers import Workers
from migrascope.model.witness import chained

PORT = 8080
ALIVE = b"alive "
BEAT_TICKS = 5


class Chain:
    """Counts the answers and chains a hash over them: a copy of the guest that forgot one cannot hide it."""

    def __init__(self, boot_id: str) -> None:
        self.boot_id, self.counter, self.hash = boot_id, 0, "00000000"

    def answer(self, request_id: str) -> dict[str, object]:
        """The next entry."""
        self.counter += 1
        self.hash = chained(self.hash, request_id)
        return {"boot_id": self.boot_id, "counter": self.counter, "hash": self.hash}


def _first_line(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.readline().strip()


def processors() -> dict[str, object]:
    """The uptime, and for how long all processors together had nothing to do: idle, or waiting for a disk (proc(5))."""
    uptime, ticks = float(_first_line("/proc/uptime").split()[0]), _first_line("/proc/stat").split()
    idle = (int(ticks[4]) + int(ticks[5])) / os.sysconf("SC_CLK_TCK")
    return {"uptime_s": uptime, "idle_s": idle, "cpus": os.cpu_count() or 1}


def nginx_answers() -> bool:
    """Whether nginx gives the index page within a second."""
    try:
        with socket.create_connection(("127.0.0.1", 80), timeout=1) as connection:
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


class Heartbeat:
    """Says on the console every second that this boot of the guest lives: heard where no network and no disk help."""

    def __init__(self, console: str, boot_id: str) -> None:
        self._boot_id = boot_id
        self._console = os.open(console, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        self._ticks = 0

    def tick(self) -> None:
        """A line at every fifth tick, unless the console is in the way."""
        self._ticks += 1
        if self._ticks % BEAT_TICKS == 0:
            try:
                os.write(self._console, f"migrascope alive {self._ticks // BEAT_TICKS} {self._boot_id}\n".encode())
            except OSError:
                return


class Agent:
    """All the answers."""

    def __init__(self, chain: Chain, witness: Witness) -> None:
        self.chain, self.witness, self.resident = chain, witness, Resident()
        self.workers = {name: Workers(name) for name in ("stress", "ledger", "reflector")}

    def datagram(self, data: bytes) -> bytes | None:
        """The answer to a datagram; None to one that asks for nothing we know."""
        if not data.startswith(ALIVE):
            return None
        request = data[len(ALIVE) :].decode("ascii", "replace")
        answer = self.chain.answer(request)
        return f"{request} {answer['boot_id']} {answer['counter']} {answer['hash']}".encode("ascii", "replace")

    def steps(self, method: str, target: str) -> Steps:
        """Works on one request; the last thing yielded is its answer."""
        path, _, query = target.partition("?")
        words = [word for word in query.split("&") if "=" in word]
        value = words[0].partition("=")[2] if words else ""
        name = path[1:]
        if (method, path) == ("GET", "/alive"):
            yield 200, self.chain.answer(value)
        elif (method, path) == ("GET", "/ready"):
            ready = nginx_answers()
            yield 200 if ready else 503, {"ready": ready}
        elif (method, path) == ("GET", "/witness"):
            yield from self.witness.check()
        elif (method, path) == ("POST", "/witness") and value in ("on", "off"):
            self.witness.rewriting = value == "on"
            yield 200, {"rewriting": self.witness.rewriting}
        elif (method, path) == ("POST", "/cache") and value in ("warm", "cold"):
            yield from cache(value)
        elif (method, path) == ("POST", "/resident") and value.isdigit():
            yield from self.resident.fill(int(value))
        elif (method, path) == ("GET", "/load"):
            averages = [float(word) for word in _first_line("/proc/loadavg").split()[:3]]
            yield 200, {"loadavg": averages, **processors()}
        elif method == "POST" and name in self.workers and words:
            yield from self.workers[name].start(words)
        elif (method, path) == ("POST", "/stop") and value in self.workers:
            yield from self.workers[value].stop()
        elif method == "GET" and name in self.workers:
            yield from self.workers[name].report()
        else:
            yield 404, {"error": f"no {method} {target} here"}


def main() -> None:
    agent = Agent(Chain(_first_line("/proc/sys/kernel/random/boot_id")), Witness())
    heartbeat = Heartbeat("/dev/console", agent.chain.boot_id)

    def tick() -> None:
        agent.witness.tick()
        heartbeat.tick()

    server = Server(agent.steps, tick, ("0.0.0.0", PORT), agent.datagram, beside="::")
    sys.stderr.write("migrascope agent: ready\n")
    while True:
        server.turn()
