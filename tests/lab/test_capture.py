"""What a capture holds is what passed, as independent readers see it, whenever it ends."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from migrascope.node.link import take_up
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where
from migrascope.probe.icmp import EchoSocket
from migrascope.store import spool
from migrascope.store.pcap.layers import UDP, headers
from migrascope.store.pcap.reader import Capture
from needs import tshark_program

pytestmark = pytest.mark.lab
CLIENT, SERVER, OTHER = "10.9.7.1", "10.9.7.2", "10.9.7.3"
PORT = 7007


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """A client and a server, joined by a veth pair."""
    client, server = (Namespace(f"ms-capt-{os.getpid()}-{role}") for role in ("client", "server"))
    try:
        for namespace in (client, server):
            namespace.create()
        peer = {"ifname": "v0", "net_ns_fd": server.name}
        client.configure(lambda routes: routes.link("add", ifname="v0", kind="veth", peer=peer))
        client.configure(lambda routes: take_up(routes, "v0", f"{CLIENT}/24"))
        server.configure(lambda routes: take_up(routes, "v0", f"{SERVER}/24"))
        server.configure(lambda routes: take_up(routes, "v0", f"{OTHER}/24"))
        yield client, server
    finally:
        client.delete()
        server.delete()


class Running:
    """The program in the client's namespace."""

    def __init__(self, folder: Path, client: Namespace, snaplen: int = 128) -> None:
        config: dict[str, Any] = {"directory": str(folder), "source": "client", "host": "client"}
        config |= {"instance": "", "migration": "", "addresses": [SERVER], "snaplen": snaplen}
        argv = Where(client).command([sys.executable, "-m", "migrascope.probe.capture", json.dumps(config)])
        self.path = folder / "capture@client.pcapng"
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def send(client: Namespace, count: int, size: int, target: str = SERVER) -> None:
    """UDP packets with their number, which nobody answers."""

    def inside() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for number in range(count):
                udp.sendto(number.to_bytes(4) + bytes(size - 4), (target, PORT))

    client.call(inside)


def ping() -> None:
    """Twenty echo requests, each after the reply to the one before."""
    with EchoSocket(SERVER) as echo:
        for seq in range(20):
            echo.send(echo.request(seq))
            select.select([echo], [], [], 5)
            assert len(echo.receive(5)) == 1


def numbers(path: Path) -> list[int]:
    """The numbers of the UDP packets of a capture."""
    found = []
    for frames in Capture(path).batches():
        udp = headers(frames).protocol == UDP
        found += [int.from_bytes(frames.data[at + 42 : at + 46].tobytes()) for at in frames.at[udp].tolist()]
    return found


def tshark(path: Path, *fields: str) -> list[list[str]]:
    """Fields of every packet of a capture, as tshark reads it."""
    argv = [tshark_program(), "-r", str(path), "-T", "fields", *(word for name in fields for word in ("-e", name))]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_holds_all_that_passed_and_nothing_else(tmp_path: Path, pair: tuple[Namespace, Namespace]) -> None:
    running = Running(tmp_path, pair[0])
    send(pair[0], 50, 900, OTHER)
    send(pair[0], 2000, 900)
    assert running.end(signal.SIGTERM) == 0
    assert numbers(running.path) == list(range(2000))
    seen = tshark(running.path, "frame.len", "frame.cap_len", "ip.dst", "udp.dstport", "frame.time_epoch")
    ours = [row for row in seen if row[3] == str(PORT)]
    assert [row[:4] for row in ours] == [["942", "128", SERVER, str(PORT)]] * 2000
    read = [
        time for frames in Capture(running.path).batches() for time in frames.time_ns[headers(frames).protocol == UDP]
    ]
    assert [int(time) for time in read] == [int(row[4].replace(".", "")) for row in ours]
    rows = spool.read(tmp_path / "capture@client.jsonl")[1]
    assert sum(row[2] for row in rows) == len(seen)
    assert {row[1] for row in rows} == {"v0"}
    assert sum(row[3] for row in rows) == 0


def test_directions_are_those_of_the_interface(tmp_path: Path, pair: tuple[Namespace, Namespace]) -> None:
    running = Running(tmp_path, pair[0])
    pair[0].call(ping)
    assert running.end(signal.SIGTERM) == 0
    ways = np.concatenate([frames.direction for frames in Capture(running.path).batches()])
    assert ways.tolist() == [2, 1] * 20
    assert [row[0] for row in tshark(running.path, "frame.packet_flags_direction")] == ["0x00000002", "0x00000001"] * 20


def test_goes_on_while_others_drain(tmp_path: Path, pair: tuple[Namespace, Namespace]) -> None:
    running = Running(tmp_path, pair[0])
    running.process.send_signal(signal.SIGUSR1)
    send(pair[0], 100, 60)
    assert running.end(signal.SIGTERM) == 0
    assert numbers(running.path) == list(range(100))


def test_killed_at_any_moment_it_can_be_read(tmp_path: Path, pair: tuple[Namespace, Namespace]) -> None:
    running = Running(tmp_path, pair[0])
    while running.path.stat().st_size < 100_000:
        send(pair[0], 100, 100)
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    found = numbers(running.path)
    assert len(found) > 500
    assert found[:100] == list(range(100))


def test_without_a_route_it_says_so(tmp_path: Path, pair: tuple[Namespace, Namespace]) -> None:
    config = {"directory": str(tmp_path), "source": "client", "host": "client", "instance": "", "migration": ""}
    config |= {"addresses": ["192.0.2.7"], "snaplen": 128}  # type: ignore[dict-item]
    argv = Where(pair[0]).command([sys.executable, "-m", "migrascope.probe.capture", json.dumps(config)])
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no route to 192.0.2.7" in done.stderr
