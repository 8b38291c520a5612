"""The agent's HTTP: one thread, many connections, no library that takes an emulated guest long to load.

Runs in the guest, on python3-minimal.
"""

import selectors
import socket
import sys
import time
from collections.abc import Callable

from migrascope.guest.steps import Steps

TICK_S = 0.2


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


def _datagrams(family: int, address: tuple[str, int]) -> socket.socket:
    """A UDP socket at an address; one of IPv6 takes nothing of IPv4."""
    stream = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        stream.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    stream.bind(address)
    stream.setblocking(False)
    return stream


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
    """One thread: answers what is due, one slice of every long request at a time, and calls `tick` every TICK_S.

    datagram: answers a UDP datagram to the same port at once, or with None not at all. beside: an IPv6 address at which
    datagrams to that port are answered, too.
    """

    def __init__(
        self,
        steps: Callable[[str, str], Steps],
        tick: Callable[[], None],
        address: tuple[str, int],
        datagram: Callable[[bytes], bytes | None] = lambda _: None,
        beside: str | None = None,
    ) -> None:
        self.steps, self.tick, self.datagram = steps, tick, datagram
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(address, backlog=128)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        bound = self.listener.getsockname()
        self.datagrams = [_datagrams(socket.AF_INET, bound)]
        if beside is not None:
            self.datagrams.append(_datagrams(socket.AF_INET6, (beside, bound[1])))
        for stream in self.datagrams:
            self.selector.register(stream, selectors.EVENT_READ)
        self.working: list[Connection] = []
        self.next_tick = time.monotonic() + TICK_S

    def turn(self) -> None:
        """Waits for something to do, at most until the next tick, and does it."""
        wait = 0 if self.working else max(0.0, self.next_tick - time.monotonic())
        for key, _ in self.selector.select(wait):
            if (datagrams := next((each for each in self.datagrams if each is key.fileobj), None)) is not None:
                self._datagram(datagrams)
            elif key.data is None:
                stream, _ = self.listener.accept()
                stream.setblocking(False)
                self.selector.register(stream, selectors.EVENT_READ, Connection(stream))
            else:
                self._read(key.data)
        for connection in list(self.working):
            self._work(connection)
        if time.monotonic() >= self.next_tick:
            self.tick()
            self.next_tick = max(self.next_tick, time.monotonic() - TICK_S) + TICK_S

    def close(self) -> None:
        """Closes every connection and the listener."""
        for key in list(self.selector.get_map().values()):
            if key.data is not None:
                self._close(key.data)
        self.listener.close()
        for stream in self.datagrams:
            stream.close()
        self.selector.close()

    def _datagram(self, stream: socket.socket) -> None:
        try:
            data, sender = stream.recvfrom(512)
            answer = self.datagram(data)
            if answer is not None:
                stream.sendto(answer, sender)
        except OSError as error:
            sys.stderr.write(f"migrascope agent: {error}\n")

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
            connection.steps = self.steps(*request)
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
