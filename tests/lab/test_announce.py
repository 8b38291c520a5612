"""Where an instance's frames go, as the kernel shows it: on an interface that comes, goes and comes again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migrascope.model.tables import TABLES
from migrascope.node.link import take_up
from migrascope.node.namespace import Namespace, index_of
from migrascope.node.process import Where
from migrascope.store import spool

pytestmark = pytest.mark.lab
MAC, OTHER = bytes.fromhex("fa163e38e047"), bytes.fromhex("fa163e000001")
RARP, IPV4 = b"\x80\x35", b"\x08\x00"
LIMIT_S = 10.0


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """A host that has no tap yet, and what is behind the tap."""
    host, guest = (Namespace(f"ms-ann-{os.getpid()}-{role}") for role in ("host", "guest"))
    try:
        host.create()
        guest.create()
        yield host, guest
    finally:
        host.delete()
        guest.delete()


def plug(host: Namespace, guest: Namespace) -> None:
    peer = {"ifname": "tap1", "net_ns_fd": guest.name}
    host.configure(lambda routes: routes.link("add", ifname="tap1", kind="veth", peer=peer))
    for space in (guest, host):
        space.configure(lambda routes: take_up(routes, "tap1", None))


def unplug(host: Namespace) -> None:
    host.configure(lambda routes: routes.link("del", index=index_of(routes, "tap1")))


def send(space: Namespace, to: bytes, sender: bytes, kind: bytes, count: int = 1) -> None:
    def inside() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("tap1", 0))
            for _ in range(count):
                raw.send(to + sender + kind + bytes(46))

    space.call(inside)


def seen(folder: Path) -> list[dict[str, Any]]:
    columns = TABLES["announce"].columns
    return [dict(zip(columns, row, strict=True)) for row in spool.Follower(folder / "announce@a.jsonl").rows()]


def watched(folder: Path, guest: Namespace, before: int) -> None:
    """Sends an announcement again and again until one more is recorded."""
    deadline = time.monotonic() + LIMIT_S
    while len(seen(folder)) <= before:
        assert time.monotonic() < deadline, "the interface was never watched"
        send(guest, b"\xff" * 6, MAC, RARP)
        time.sleep(0.05)


def test_frames_are_followed_through_an_interfaces_comings_and_goings(
    pair: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    host, guest = pair
    config = {
        "directory": str(tmp_path), "source": "a", "host": "h", "instance": "", "migration": "",
        "mac": "fa:16:3e:38:e0:47", "addresses": ["192.0.2.7"], "ports": {"tap1": ["node-1", "tap"]},
    }  # fmt: skip
    argv = Where(host).command([sys.executable, "-m", "migrascope.probe.announce", json.dumps(config)])
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        plug(host, guest)
        watched(tmp_path, guest, 0)
        begun = time.time_ns()
        send(host, MAC, OTHER, IPV4, 7)
        send(guest, OTHER, MAC, IPV4, 5)
        send(guest, OTHER, OTHER, IPV4, 3)
        unplug(host)
        plug(host, guest)
        watched(tmp_path, guest, len(seen(tmp_path)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    rows = seen(tmp_path)
    assert {(row["node"], row["place"]) for row in rows} == {("node-1", "tap")}
    frames = {row["way"]: row for row in rows if row["kind"] == "frame"}
    assert {way: row["frames"] for way, row in frames.items()} == {"to": 7, "from": 5}
    assert all(begun <= row["first_wall_ns"] <= row["last_wall_ns"] <= time.time_ns() for row in frames.values())
    assert {(row["way"], row["kind"]) for row in rows} == {("to", "frame"), ("from", "frame"), ("from", "rarp")}
