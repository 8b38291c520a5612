"""The witness in the guest: says that this incarnation lives and that its memory is whole. Runs on python3-minimal.

GET /ready                    200 once nginx answers, 503 before
GET /alive?id=X               {"boot_id", "counter", "hash"}: counter rises by one, hash chains over every id answered
GET /witness                  {"whole", "pages", "rewritten", "bad"}: every page of the memory witness, checked now
POST /cache?state=warm|cold   {"state", "bytes", "page_cache_bytes"}: the videos read into the page cache or dropped
POST /resident?bytes=N        {"bytes"}: so much memory filled with bytes that no page shares and nothing compresses
GET /load                     {"loadavg": [1, 5, 15 min], "uptime_s"}
"""

import os
import selectors
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterator

PAGE = 4096
PAGES = 3072
# 40 pages a second are 0.16 MB/s: under the 0.5 MB/s that all of our helpers in the guest may write.
TICK_S = 0.2
PAGES_PER_TICK = 8
SLICE = 64
VIDEOS = "/srv/site/video"

Answer = tuple[int, dict[str, object]]
# A request that takes long yields None between its slices, so that /alive is answered meanwhile.
Steps = Iterator[Answer | None]


class Ledger:
    """Counts the answers and chains a hash over them: a copy of the guest that forgot one cannot hide it."""

    def __init__(self, boot_id: str) -> None:
        self.boot_id, self.counter, self.hash = boot_id, 0, 0

    def answer(self, request_id: str) -> dict[str, object]:
        """The next entry. hash = CRC-32 of "previous hash as 8 hexadecimal digits" + id, starting from 00000000."""
        self.counter += 1
        self.hash = zlib.crc32(f"{self.hash:08x}{request_id}".encode())
        return {"boot_id": self.boot_id, "counter": self.counter, "hash": f"{self.hash:08x}"}


def pattern(page: int, generation: int) -> bytes:
    """What a page of the witness holds: its number and generation, mixed and repeated."""
    mixed = (page * 0x9E3779B97F4A7C15 + generation * 0xC2B2AE3D27D4EB4F) & (2**64 - 1)
    return (page.to_bytes(4, "big") + generation.to_bytes(4, "big") + mixed.to_bytes(8, "big")) * (PAGE // 16)


class Witness:
    """Pages of known content, rewritten at random: a page that a migration lost or brought back stale shows."""

    def __init__(self, pages: int = PAGES, seed: int = 1) -> None:
        self.memory = bytearray(pages * PAGE)
        self.generations = [0] * pages
        self.rewritten = 0
        self._state = seed
        for page in range(pages):
            self._write(page)

    def _write(self, page: int) -> None:
        self.memory[page * PAGE : (page + 1) * PAGE] = pattern(page, self.generations[page])

    def rewrite(self, count: int) -> None:
        """Gives `count` pages chosen at random their next content."""
        for _ in range(count):
            self._state = (self._state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
            page = (self._state >> 33) % len(self.generations)
            self.generations[page] += 1
            self._write(page)
            self.rewritten += 1

    def check(self) -> Steps:
        """Compares every page, a slice at a time; each page with what it should hold at that moment."""
        bad = 0
        for page in range(len(self.generations)):
            if self.memory[page * PAGE : (page + 1) * PAGE] != pattern(page, self.generations[page]):
                bad += 1
            if page % SLICE == SLICE - 1:
                yield None
        yield 200, {"whole": bad == 0, "pages": len(self.generations), "rewritten": self.rewritten, "bad": bad}


def _video_files() -> list[str]:
    return [os.path.join(folder, name) for folder, _, names in os.walk(VIDEOS) for name in names]


def _page_cache_bytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Cached:"))


def cache(state: str) -> Steps:
    """Reads every video wholly (warm) or drops it from the page cache (cold).

    bytes: their size; page_cache_bytes: all that the cache holds afterwards, so that the difference shows.
    """
    total = 0
    for name in _video_files():
        handle = os.open(name, os.O_RDONLY)
        try:
            if state == "warm":
                while os.read(handle, 2**20):
                    yield None
            else:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            total += os.fstat(handle).st_size
        finally:
            os.close(handle)
        yield None
    yield 200, {"state": state, "bytes": total, "page_cache_bytes": _page_cache_bytes()}


class Resident:
    """Memory that a migration must carry: it is written once, then left alone."""

    def __init__(self) -> None:
        self.memory = bytearray()

    def fill(self, size: int) -> Steps:
        """Holds `size` bytes from now on, of random megabytes that differ in every page by its number."""
        self.memory = bytearray(size)
        block = bytearray(os.urandom(min(size, 2**20)))
        for start in range(0, size, len(block) or 1):
            for page in range(0, len(block), PAGE):
                block[page : page + 8] = (start + page).to_bytes(8, "big")
            self.memory[start : start + len(block)] = block[: size - start]
            yield None
        yield 200, {"bytes": len(self.memory)}


def _first_line(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.readline().strip()


def nginx_answers() -> bool:
    """Whether nginx gives the index page within a second."""
    try:
        with socket.create_connection(("127.0.0.1", 80), timeout=1) as connection:
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


class Agent:
    """All the answers."""

    def __init__(self, ledger: Ledger, witness: Witness) -> None:
        self.ledger, self.witness, self.resident = ledger, witness, Resident()

    def steps(self, method: str, target: str) -> Steps:
        """Works on one request; the last thing yielded is its answer."""
        path, _, query = target.partition("?")
        value = query.partition("=")[2]
        if (method, path) == ("GET", "/alive"):
            yield 200, self.ledger.answer(value)
        elif (method, path) == ("GET", "/ready"):
            ready = nginx_answers()
            yield 200 if ready else 503, {"ready": ready}
        elif (method, path) == ("GET", "/witness"):
            yield from self.witness.check()
        elif (method, path) == ("POST", "/cache") and value in ("warm", "cold"):
            yield from cache(value)
        elif (method, path) == ("POST", "/resident") and value.isdigit():
            yield from self.resident.fill(int(value))
        elif (method, path) == ("GET", "/load"):
            averages = [float(word) for word in _first_line("/proc/loadavg").split()[:3]]
            yield 200, {"loadavg": averages, "uptime_s": float(_first_line("/proc/uptime").split()[0])}
        else:
            yield 404, {"error": f"no {method} {target} here"}


def to_json(value: object) -> str:
    """JSON of what the answers hold (the json module takes long to load in an emulated guest)."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_json(key)}: {to_json(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_json, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        safe = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "?" for c in value)
        return f'"{safe}"'
    return str(value)


class Connection:
    """One client. Requests without a body, answered in order; kept open unless the client says otherwise."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.received = b""
        self.steps: Steps | None = None
        self.keep = True

    def request(self) -> tuple[str, str] | None:
        """The next whole request's method and target; None while there is none."""
        head, separator, rest = self.received.partition(b"\r\n\r\n")
        if not separator:
            return None
        self.received = rest
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split()
        if len(words) != 3:
            self.keep = False
            return "?", "?"
        self.keep = b"connection: close" not in head.lower() and words[2] == "HTTP/1.1"
        return words[0], words[1]

    def send(self, status: int, body: dict[str, object]) -> None:
        text = to_json(body) + "\n"
        head = (
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}",
            "Content-Type: application/json",
            f"Content-Length: {len(text)}",
            f"Connection: {'keep-alive' if self.keep else 'close'}",
        )
        self.stream.send(("\r\n".join(head) + "\r\n\r\n" + text).encode())


class Server:
    """One thread: answers what is due, one slice of every long request at a time, and rewrites the witness."""

    def __init__(self, agent: Agent, address: tuple[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        self.agent, self.clock = agent, clock
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(address, backlog=128)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.working: list[Connection] = []
        self.next_tick = clock() + TICK_S

    def turn(self) -> None:
        """Waits for something to do, at most until the witness's next rewriting, and does it."""
        wait = 0 if self.working else max(0.0, self.next_tick - self.clock())
        for key, _ in self.selector.select(wait):
            if key.data is None:
                stream, _ = self.listener.accept()
                stream.setblocking(False)
                self.selector.register(stream, selectors.EVENT_READ, Connection(stream))
            else:
                self._read(key.data)
        for connection in list(self.working):
            self._work(connection)
        if self.clock() >= self.next_tick:
            self.agent.witness.rewrite(PAGES_PER_TICK)
            self.next_tick = max(self.next_tick, self.clock() - TICK_S) + TICK_S

    def close(self) -> None:
        """Closes every connection and the listener."""
        for key in list(self.selector.get_map().values()):
            if key.data is not None:
                self._close(key.data)
        self.listener.close()
        self.selector.close()

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.stream.recv(8192)
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.received += data
        if connection.steps is None:
            self._begin(connection)

    def _begin(self, connection: Connection) -> None:
        request = connection.request()
        if request is not None:
            connection.steps = self.agent.steps(*request)
            self.working.append(connection)

    def _work(self, connection: Connection) -> None:
        assert connection.steps is not None
        try:
            answer = next(connection.steps)
            if answer is None:
                return
            connection.send(*answer)
        except OSError as error:
            sys.stderr.write(f"migrascope agent: {error}\n")
            connection.keep = False
        self.working.remove(connection)
        connection.steps = None
        if connection.keep:
            self._begin(connection)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        self.selector.unregister(connection.stream)
        connection.stream.close()
        if connection in self.working:
            self.working.remove(connection)


def main() -> None:
    agent = Agent(Ledger(_first_line("/proc/sys/kernel/random/boot_id")), Witness())
    server = Server(agent, ("0.0.0.0", 8080))
    sys.stderr.write("migrascope agent: ready\n")
    while True:
        server.turn()


if __name__ == "__main__":
    main()
