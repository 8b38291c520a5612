"""What passes a bridge to and from one port is counted, and nothing else."""

import os
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from migrascope.node.flow import Flow
from migrascope.node.link import Link
from migrascope.node.namespace import Namespace
from migrascope.node.namespace_thread import NamespaceThread

pytestmark = pytest.mark.lab
NEAR, FAR = "10.0.3.11", "10.0.3.12"
PORT, OTHER = 10810, 4444
HEADERS = 66
SENT, ANSWERED = 3_000_000, 1000


@pytest.fixture
def spaces() -> Iterator[dict[str, Namespace]]:
    """A switch and two hosts at it."""
    made = {name: Namespace(f"flow-{os.getpid()}-{name}") for name in ("fabric", "near", "far")}
    try:
        for space in made.values():
            space.create()
        link = Link("migration", made["fabric"])
        link.create(None)
        link.attach("near", made["near"], f"{NEAR}/24")
        link.attach("far", made["far"], f"{FAR}/24")
        yield made
    finally:
        for space in made.values():
            space.delete()


def octets(sock: socket.socket) -> int:
    """What a socket has sent, retransmissions too: tcpi_bytes_sent of TCP_INFO (include/uapi/linux/tcp.h)."""
    return int.from_bytes(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 208)[200:], sys.byteorder)


def transfer(spaces: dict[str, Namespace], port: int) -> tuple[int, int]:
    """Bytes from near to a port of far, which answers with fewer; both ends have closed when it returns. Returned: what
    near and far sent, with what a busy machine made them send again."""
    answered = []
    listening = spaces["far"].call(lambda: socket.create_server((FAR, port)))

    def answer() -> None:
        taken, _ = listening.accept()
        with taken:
            left = SENT
            while left:
                left -= len(taken.recv(min(left, 2**16)))
            taken.sendall(bytes(ANSWERED))
            taken.recv(1)  # the end of the other, which has all
            answered.append(octets(taken))

    far = threading.Thread(target=answer)
    far.start()
    with listening, spaces["near"].call(lambda: socket.create_connection((FAR, port), 10)) as near:
        near.sendall(bytes(SENT))
        heard = 0
        while heard < ANSWERED:
            heard += len(near.recv(2**16))
        sent = octets(near)
    far.join()
    (back,) = answered
    return sent, back


def test_one_port_s_payload_is_counted_by_direction(spaces: dict[str, Namespace]) -> None:
    inside = NamespaceThread(spaces["fabric"])
    try:
        flow = inside.call(lambda: Flow("flow", PORT))
        assert inside.call(flow.read) == (0, 0, 0, 0)
        transfer(spaces, OTHER)
        assert inside.call(flow.read) == (0, 0, 0, 0)
        sent, answered = transfer(spaces, PORT)
        assert sent >= SENT
        assert answered >= ANSWERED
        passed = inside.call(flow.read)
        # Those of a handshake have options of their own, 8 bytes more than any other.
        assert passed.to_bytes - HEADERS * passed.to_packets == pytest.approx(sent, abs=100)
        assert passed.from_bytes - HEADERS * passed.from_packets == pytest.approx(answered, abs=100)
        inside.call(flow.remove)
        again = inside.call(lambda: Flow("flow", PORT))
        assert inside.call(again.read) == (0, 0, 0, 0)
        inside.call(again.remove)
    finally:
        inside.close()
