"""TCP handshakes as probes, against listeners of our own on loopback."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest
from loopback import full

from migrascope.probe.connect import GIVEN_UP_NS, ConnectSocket


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server


def wait_for(prober: ConnectSocket, count: int, limit_s: float = 3.0) -> list[tuple[int, int, int]]:
    replies: list[tuple[int, int, int]] = []
    deadline = time.monotonic() + limit_s
    while len(replies) < count and time.monotonic() < deadline:
        replies += prober.receive(100)
        time.sleep(0.005)
    return replies


def test_every_handshake_is_one_reply_with_the_kernels_round_trip(listener: socket.socket) -> None:
    with ConnectSocket("127.0.0.1", listener.getsockname()[1]) as prober:
        begun = time.time_ns()
        sent = [prober.send(prober.request(seq)) for seq in range(20)]
        replies = wait_for(prober, 20)
        ended = time.time_ns()
    assert sorted(seq for seq, _, _ in replies) == list(range(20))
    assert sent == sorted(sent)
    assert all(begun <= arrived <= ended for _, arrived, _ in replies)


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_connection_that_the_server_ended_at_once_was_a_reply(listener: socket.socket, how: str) -> None:
    with ConnectSocket("127.0.0.1", listener.getsockname()[1]) as prober:
        for seq in range(5):
            prober.send(prober.request(seq))
            taken, _ = listener.accept()
            if how == "reset":
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            taken.close()
        assert sorted(seq for seq, _, _ in wait_for(prober, 5)) == list(range(5))


def test_a_port_that_refuses_gives_no_reply(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with ConnectSocket("127.0.0.1", port) as prober:
        prober.send(prober.request(1))
        assert wait_for(prober, 1, 0.2) == []
        assert prober.receive(10) == []


def test_a_handshake_is_given_up_before_its_syn_is_sent_again() -> None:
    with full() as port, ConnectSocket("127.0.0.1", port) as prober:
        begun = prober.send(prober.request(7))
        assert wait_for(prober, 1, 1.5) == []
        assert time.monotonic_ns() - begun > GIVEN_UP_NS
        assert prober.pending == 0
