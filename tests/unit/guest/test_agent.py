"""The agent in the guest: its chain, its memory witness, its workers, its answers over real sockets."""

import http.client
import json
import os
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migrascope.guest.agent import Agent, Chain, Heartbeat
from migrascope.guest.memory import PAGE, Resident, Witness
from migrascope.guest.server import Server, to_json


def last(witness: Witness) -> dict[str, object]:
    *slices, answer = witness.check()
    assert all(row is None for row in slices)
    assert answer is not None
    return answer[1]


def test_the_chain_counts_and_chains() -> None:
    chain = Chain("boot")
    first, second = chain.answer("a"), chain.answer("b")
    number = zlib.crc32(b"00000000a")
    assert first == {"boot_id": "boot", "counter": 1, "hash": f"{number:08x}"}
    assert second == {"boot_id": "boot", "counter": 2, "hash": f"{zlib.crc32(f'{number:08x}b'.encode()):08x}"}


def test_a_rewritten_witness_is_whole() -> None:
    witness = Witness(pages=256)
    witness.rewrite(1000)
    assert last(witness) == {"whole": True, "pages": 256, "rewritten": 1000, "bad": 0}
    assert sum(generation > 0 for generation in witness.generations) > 200


@pytest.mark.parametrize("offset", [0, 7, PAGE - 1])
def test_one_wrong_byte_is_found(offset: int) -> None:
    witness = Witness(pages=130)
    witness.memory[77 * PAGE + offset] ^= 1
    assert (last(witness)["whole"], last(witness)["bad"]) == (False, 1)


def test_a_stale_page_and_one_in_the_wrong_place_are_found() -> None:
    witness = Witness(pages=64)
    stale = bytes(witness.memory)
    witness.rewrite(200)
    page = next(number for number, generation in enumerate(witness.generations) if generation)
    witness.memory[page * PAGE : (page + 1) * PAGE] = stale[page * PAGE : (page + 1) * PAGE]
    assert last(witness)["bad"] == 1
    witness = Witness(pages=64)
    witness.memory[: 2 * PAGE] = witness.memory[PAGE : 2 * PAGE] + witness.memory[:PAGE]
    assert last(witness)["bad"] == 2


def test_resident_memory_shares_no_page() -> None:
    resident = Resident()
    answer = list(resident.fill(2**21 + PAGE))[-1]
    assert answer == (200, {"bytes": 2**21 + PAGE})
    pages = {bytes(resident.memory[at : at + PAGE]) for at in range(0, len(resident.memory), PAGE)}
    assert len(pages) == 2**21 // PAGE + 1
    assert all(len(zlib.compress(page)) > 0.9 * PAGE for page in pages)


@pytest.mark.parametrize("value", [{"a": [1, 2.5], "b": True, "c": "d"}, {"error": 'no GET /"\\x here'}])
def test_answers_are_json(value: dict[str, object]) -> None:
    read = json.loads(to_json(value))
    assert read == value or read == {"error": "no GET /??x here"}


def test_the_heartbeat_is_a_line_a_second_and_no_console_holds_it_up(tmp_path: Path) -> None:
    (tmp_path / "console").touch()
    heartbeat = Heartbeat(str(tmp_path / "console"), "b")
    for _ in range(11):
        heartbeat.tick()
    assert (tmp_path / "console").read_text() == "migrascope alive 1 b\nmigrascope alive 2 b\n"
    os.mkfifo(tmp_path / "full")
    reader = os.open(tmp_path / "full", os.O_RDONLY | os.O_NONBLOCK)
    held_up = Heartbeat(str(tmp_path / "full"), "b")
    for _ in range(50_000):
        held_up.tick()
    os.close(reader)


@pytest.fixture
def port() -> Iterator[int]:
    agent = Agent(Chain("boot"), Witness(pages=256))
    server = Server(agent.steps, agent.witness.tick, ("127.0.0.1", 0), agent.datagram, beside="::1")
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            server.turn()

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.listener.getsockname()[1]
    over.set()
    thread.join()
    server.close()


def ask(connection: http.client.HTTPConnection, method: str, target: str) -> tuple[int, Any]:
    connection.request(method, target)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_answers_over_one_kept_connection(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    assert ask(connection, "GET", "/alive?id=x")[1]["counter"] == 1
    assert ask(connection, "GET", "/alive?id=y")[1]["counter"] == 2
    assert ask(connection, "GET", "/witness")[1]["whole"] is True
    load = ask(connection, "GET", "/load")[1]
    assert len(load["loadavg"]) == 3
    assert 0 < load["idle_s"] <= load["uptime_s"] * load["cpus"] + 1
    assert ask(connection, "POST", "/resident?bytes=5000") == (200, {"bytes": 5000})
    assert ask(connection, "POST", "/cache?state=hot")[0] == 404
    assert ask(connection, "GET", "/nothing")[0] == 404
    connection.close()


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_datagram_is_answered_from_the_same_chain(port: int, family: int, address: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((address, port))
        sock.send(b"nonsense")
        sock.send(b"alive x")
        first = sock.recv(512)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        over_http = ask(connection, "GET", "/alive?id=y")[1]
        connection.close()
    request, boot, counter, chained = first.decode().split()
    assert (request, boot, counter, chained) == ("x", "boot", "1", f"{zlib.crc32(b'00000000x'):08x}")
    assert over_http == {"boot_id": "boot", "counter": 2, "hash": f"{zlib.crc32(f'{chained}y'.encode()):08x}"}


def test_requests_in_pieces_in_a_row_and_broken_ones(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        stream.sendall(b"GET /alive?id=1 HTTP/1.1\r\n")
        stream.sendall(b"\r\nGET /alive?id=2 HTTP/1.1\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: stream.recv(4096), b""))
    assert text.count(b"HTTP/1.1 200 OK") == 2
    for broken in (b"\r\n\r\n", b"nonsense\r\n\r\n", b"A B C D\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
            stream.sendall(broken)
            assert stream.recv(4096).startswith(b"HTTP/1.1 404")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        stream.sendall(b"GET /alive?id=3 HTTP/1.0\r\n\r\n")
        assert b'"counter": 3' in b"".join(iter(lambda: stream.recv(4096), b""))
