"""Echo packets, and the echo probe against this machine's own address where it may open its socket."""

import asyncio
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.probe import icmp

WORD = st.integers(0, 0xFFFF)
LONG = st.integers(0, 2**64 - 1)


def reference_checksum(packet: bytes) -> int:
    total = 0
    for at in range(0, len(packet), 2):
        total += packet[at] << 8 | packet[at + 1]
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def answer(request: bytes) -> bytes:
    return bytes([icmp.ECHO_REPLY]) + request[1:]


@given(ident=WORD, token=LONG, seq=LONG)
def test_request_carries_a_correct_checksum(ident: int, token: int, seq: int) -> None:
    packet = icmp.request(ident, token, seq)
    assert len(packet) == 64
    assert reference_checksum(packet) == 0
    blank = packet[:2] + bytes(2) + packet[4:]
    assert icmp.checksum(blank) == reference_checksum(blank)
    assert struct.unpack_from("!HH", packet, 4) == (ident, seq & 0xFFFF)


@given(ident=WORD, token=LONG, seq=LONG)
def test_reply_gives_back_its_whole_seq(ident: int, token: int, seq: int) -> None:
    assert icmp.reply_seq(answer(icmp.request(ident, token, seq)), token) == seq


def test_other_packets_are_not_ours() -> None:
    packet = icmp.request(1, 2, 3)
    assert icmp.reply_seq(packet, 2) is None, "a request"
    assert icmp.reply_seq(answer(packet), 4) is None, "another prober's token"
    assert icmp.reply_seq(answer(packet)[:-1], 2) is None, "another length"
    assert icmp.reply_seq(b"", 2) is None


@pytest.fixture
def loopback() -> icmp.EchoSocket:
    try:
        return icmp.EchoSocket("127.0.0.1")
    except PermissionError:
        pytest.skip("neither raw nor ping sockets are allowed here")


async def receive(echo: icmp.EchoSocket, count: int) -> list[tuple[int, int, int]]:
    replies: list[tuple[int, int, int]] = []
    async with asyncio.timeout(30):
        while len(replies) < count:
            replies += echo.receive(100)
            await asyncio.sleep(0.001)
    return replies


async def test_replies_carry_the_kernels_stamp(loopback: icmp.EchoSocket) -> None:
    with loopback as echo:
        wall = time.time_ns()
        sent = [echo.send(echo.request(seq)) for seq in (7, 2**40)]
        replies = await receive(echo, 2)
        assert [seq for seq, _, _ in replies] == [7, 2**40]
        for (_, recv_wall, recv), before in zip(replies, sent, strict=True):
            assert wall <= recv_wall <= time.time_ns()
            assert before < recv <= time.monotonic_ns()


async def test_a_late_or_duplicate_reply_is_received_like_any_other(loopback: icmp.EchoSocket) -> None:
    with loopback as echo:
        for seq in (5, 6, 5):
            echo.send(echo.request(seq))
        assert [seq for seq, _, _ in await receive(echo, 3)] == [5, 6, 5]


async def test_another_probers_replies_are_left_out(loopback: icmp.EchoSocket) -> None:
    with loopback as echo, icmp.EchoSocket("127.0.0.1") as other:
        other.send(other.request(1))
        echo.send(echo.request(2))
        assert [seq for seq, _, _ in await receive(echo, 1)] == [2]


def test_a_request_the_kernel_refuses_is_only_a_lost_one() -> None:
    try:
        echo = icmp.EchoSocket("127.0.0.1")
    except PermissionError:
        pytest.skip("neither raw nor ping sockets are allowed here")
    with echo:
        assert echo.send(bytes(2**17)) > 0
        assert echo.receive(10) == []
