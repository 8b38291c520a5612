"""Segments of a peer, and its clock as it comes over a connection that is kept."""

import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loopback import listening

from migrascope.probe.peer_clock import ACK, NO_STAMP, RST, SYN, PeerClock, Segment, keep_alive, segment_of

TCP = "!HHIIBBHHH"


def segment(flags: int, options: bytes = b"", data: bytes = b"", seq: int = 10) -> bytes:
    return struct.pack(TCP, 80, 5000, seq, 20, (20 + len(options)) // 4 << 4, flags, 512, 0, 0) + options + data


def test_a_segment_is_read() -> None:
    stamps = b"\1\1" + struct.pack("!BBII", 8, 10, 777, 888)
    packet = segment(ACK, stamps, b"abc")
    assert segment_of(packet, len(packet)) == Segment(ACK, 13, 20, 777, 888)
    syn = segment(SYN | ACK, struct.pack("!BBH", 2, 4, 1460) + stamps, seq=2**32 - 1)
    assert segment_of(syn, len(syn)) == Segment(SYN | ACK, 0, 20, 777, 888)


def test_a_segment_whose_end_was_not_read_has_its_length() -> None:
    packet = segment(ACK, data=b"x" * 50)
    assert segment_of(packet[:40], len(packet)) == Segment(ACK, 60, 20, NO_STAMP, NO_STAMP)


@pytest.mark.parametrize("options", [b"\x08\x0a\0\0", b"\x08\0\0\0", b"\x05\xff\0\0", b"\1\1\1\x08", b"\0\x08\x0a\0"])
def test_options_that_are_cut_off_hold_no_stamps(options: bytes) -> None:
    packet = segment(ACK, options)
    found = segment_of(packet, len(packet))
    assert found is not None
    assert found.tsval == NO_STAMP


@pytest.mark.parametrize("packet", [b"", b"\0" * 19, b"\0" * 20, segment(ACK)[:12] + b"\xf0" + segment(ACK)[13:]])
def test_what_is_no_segment_is_none(packet: bytes) -> None:
    assert segment_of(packet, len(packet)) is None


def test_a_keep_alive_repeats_an_octet_that_the_peer_has_had() -> None:
    made = keep_alive(("192.0.2.1", 5000), ("192.0.2.2", 80), Segment(ACK, 100, 7, 777, 888))
    sent = segment_of(made, len(made))
    assert sent == Segment(ACK, 7, 100, 888, 777)


@pytest.fixture(params=["127.0.0.1", "::1"])
def address(request: pytest.FixtureRequest) -> str:
    try:
        with PeerClock(str(request.param), 1):
            return str(request.param)
    except PermissionError:
        pytest.skip("needs the right to raw sockets")
    except OSError:
        pytest.skip("has no such address")


def rows_until(peer: PeerClock, count: int, *, asks: bool = True) -> list[tuple[int, ...]]:
    rows: list[tuple[int, ...]] = []
    deadline = time.monotonic() + 60
    while len(rows) < count and time.monotonic() < deadline:
        if asks:
            peer.look_after()
            peer.ask()
        time.sleep(0.005)
        rows += peer.receive(100)
    assert len(rows) >= count
    return rows


def server_at(address: str) -> socket.socket:
    if address == "127.0.0.1":
        return listening()
    return socket.create_server((address, 0), family=socket.AF_INET6)


def test_each_keep_alive_is_answered_with_a_stamp_that_advances(address: str) -> None:
    with server_at(address) as server, PeerClock(address, server.getsockname()[1]) as peer:
        rows = rows_until(peer, 20)
    assert {row[0] for row in rows} == {1}
    assert rows[0][1] & SYN
    assert min(row[2] for row in rows) > 0
    limit = "ipv6/conf/lo/hop_limit" if ":" in address else "ipv4/ip_default_ttl"
    assert {row[3] for row in rows} == {int(Path("/proc/sys/net", limit).read_text())}
    stamps = [row[2] for row in rows]
    assert stamps == sorted(stamps)
    assert stamps[-1] > stamps[0]


def test_a_connection_that_is_reset_is_told_and_made_anew(address: str) -> None:
    with server_at(address) as server, PeerClock(address, server.getsockname()[1]) as peer:
        rows_until(peer, 5)
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        rows = rows_until(peer, 1, asks=False)
        while not rows[-1][1] & RST:
            rows += rows_until(peer, 1, asks=False)
        assert 2 in {row[0] for row in rows_until(peer, 10)}


def ended(address: str, directory: str) -> str:
    """What a reader of clocks says that ends at once."""
    config = {
        "directory": directory, "host": "client", "migration": "", "part_s": None, "rate": 100,
        "targets": [{"source": "a", "instance": "", "address": address, "port": 1}],
    }  # fmt: skip
    code = "import runpy; runpy.run_module('migrascope.probe.peer_clock', run_name='__main__', alter_sys=True)"
    argv = [sys.executable, "-c", code, json.dumps(config)]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert found.returncode == 1
    return found.stderr


def test_what_the_network_refuses_is_not_called_a_full_disk(address: str, tmp_path: Path) -> None:
    assert ended("fe80::1", str(tmp_path)) == "no connection can be kept to fe80::1, port 1: Invalid argument\n"
    assert ended(address, str(tmp_path / "no")) == f"cannot record in {tmp_path}/no: No such file or directory\n"
