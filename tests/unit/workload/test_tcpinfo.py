"""TCP_INFO of a real connection on the loopback."""

import socket
from collections.abc import Iterator

import pytest

from migrascope.workload.tcpinfo import parse_tcp_info, tcp_info

ESTABLISHED, CLOSE_WAIT = 1, 8


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            yield client, accepted


def test_counts_what_was_sent_and_received(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.sendall(b"q" * 1000)
    assert server.recv(2000) == b"q" * 1000
    server.sendall(b"a" * 300)
    assert client.recv(2000) == b"a" * 300
    info = tcp_info(client)
    assert info.state == ESTABLISHED
    assert info.bytes_received == 300
    assert info.bytes_acked in (1000, 1001), "the SYN counts as a byte on some kernels"
    assert info.total_retrans == 0
    assert 2 <= info.segs_out < 10
    assert 2 <= info.segs_in < 10
    assert 0 < info.rtt_us < 100_000
    assert 0 < info.rttvar_us < 100_000


def test_state_follows_the_connection(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    server.close()
    assert client.recv(1) == b""
    assert tcp_info(client).state == CLOSE_WAIT


def test_an_old_kernel_is_refused_not_misread() -> None:
    with pytest.raises(ValueError, match=r"104 bytes here, 144"):
        parse_tcp_info(bytes(104))
