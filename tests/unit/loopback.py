"""A port on loopback that is open, and a web server behind one."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def listening(port: int = 0) -> socket.socket:
    """A port that is open: 1000 handshakes find room, since nobody takes them."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen(1000)
    return server


@contextlib.contextmanager
def full() -> Iterator[int]:
    """The number of a port that is open and has no room: what asks there now gets no answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        number = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        try:
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", number))
            yield number
        finally:
            for sock in waiting:
                sock.close()


class Site(ThreadingHTTPServer):
    """Answers every request alike. asked: how often it was."""

    status, body, asked = 200, b"hello", 0


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Site)
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def served() -> Iterator[Site]:
    """A site that serves while the block runs."""
    with Site(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def port() -> Iterator[int]:
    """The number of a port that is open."""
    with listening() as server:
        yield server.getsockname()[1]


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as server:
        yield server
