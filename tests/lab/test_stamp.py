"""STAMP in a real guest: its reflector against a sender made from the RFC alone, and a migration as it saw it."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from lab.booted import Booted
from lab.machine import only_trial
from migrascope.lab.qemu.lab import QemuLab
from migrascope.metrics.stamp.clock import Clock
from migrascope.metrics.stamp.measure import pause_of
from migrascope.metrics.stamp.probes import Probes
from migrascope.metrics.trial import Measurement, examine
from migrascope.metrics.windows import end_of
from migrascope.store.recording import Recording
from migrascope.trial.parts import begin_reflector

pytestmark = pytest.mark.lab
IN_GUEST = pytest.mark.asyncio(loop_scope="module")
RATE = 100
PLAN = f"""
name = "stamp"
blocks = 1
[axes]
scenario = ["none"]
[probes]
dirty = false
stamp_rate = {RATE}
[visitors]
new_rate = 0
kept_rate = 0
[windows]
before = "3s"
"""
NTP_1970 = 2_208_988_800
ROUTERS = 1
"""Between the lab's client and its instance."""
WAITING = 500


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A trial with STAMP beside echo."""
    return only_trial(tmp_path_factory.mktemp("stamp"), PLAN)


@pytest.fixture(scope="module")
def seen(recording: Recording) -> Measurement:
    return examine(recording)


def value(seen: Measurement, key: str) -> float:
    found = seen.metrics[key]
    assert found.value is not None, (key, found.reason)
    return found.value


def test_every_window_has_every_figure(seen: Measurement) -> None:
    figures = ("probe.owd_", "probe.ipdv_", "probe.pdv_", "probe.clock_")
    keys = [metric for metric in seen.metrics if metric.startswith(figures) and "_ipv6" not in metric]
    assert len(keys) == 67
    assert {key: seen.metrics[key].reason for key in keys if seen.metrics[key].value is None} == {}


@pytest.mark.parametrize("window", ["before", "during", "switchover", "after"])
def test_loss_by_direction_adds_up_to_that_of_echo(seen: Measurement, window: str) -> None:
    """As times without an answer, which each probe knows up to its interval at either end."""
    span = seen.windows.span(window)
    assert span is not None
    out, back = (value(seen, f"probe.loss_{way}_ratio.{window}") for way in ("out", "back"))
    both = 1 - (1 - out) * (1 - back)
    echo = value(seen, f"probe.loss_ratio.{window}")
    assert abs(both - echo) * (span[1] - span[0]) / 1e9 <= 2 / RATE
    assert out >= back, "packets die on their way to a guest that has gone, not on their way from it"


def test_the_switchover_lost_packets(seen: Measurement) -> None:
    assert value(seen, "probe.loss_out_ratio.switchover") > 0


def test_both_ways_sum_up_to_the_round_trip_within_the_bound(recording: Recording, seen: Measurement) -> None:
    probes = Probes.of(recording, end_of(recording))
    clock = Clock.of(probes, pause_of(probes, seen.windows))
    assert clock.before is not None
    assert clock.after is not None
    delays = clock.delays(probes)
    have = probes.answered & (delays.out_after == delays.back_after)
    assert have.sum() > 0.8 * len(have)
    answers = probes.answers
    trips = probes.of_answer(answers.arrived_ns) - probes.sent_ns
    held = probes.of_answer(answers.reflector_sent_ns) - probes.of_answer(answers.reflector_recv_ns)
    bound = max(clock.before.bound_ns, clock.after.bound_ns)
    assert np.abs(delays.out_ns + delays.back_ns - (trips - held))[have].max() <= bound
    for delay in (delays.out_ns[have], delays.back_ns[have]):
        assert delay.min() >= -bound, "nothing comes before it was sent"
        assert delay.min() <= (trips - held)[have].min() + bound
    assert bound <= 5e6, "no looser than 5 ms"


def test_the_guests_clock_stood_still_while_the_guest_did(seen: Measurement) -> None:
    """QEMU stops the guest's clock, then waits for its processors, which a busy machine keeps from ending, and only
    then tells of STOP: the clock stands still for the pause at least, and no longer than the guest is silent."""
    step = seen.metrics["probe.clock_step_s"]
    assert step.value is not None
    assert step.bound is not None
    within = step.bound + 0.005
    assert value(seen, "vm_pause_s") - within <= -step.value <= value(seen, "network_blackout_high_s") + within


@pytest_asyncio.fixture(loop_scope="module")
async def guest(booted: Booted) -> AsyncIterator[Booted]:
    """A guest in which no reflector runs, before and after."""
    yield booted
    await booted.call.ask("/stop?what=reflector", post=True, timeout_s=60)


def sender(lab: QemuLab, address: str) -> socket.socket:
    """A socket of the client's towards the reflector."""

    def made() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.settimeout(20)
        sock.connect((address, 862))
        return sock

    return lab.client.call(made)


def packet(seq: int, ssid: int, *, ptp: bool = False) -> bytes:
    """RFC 8762, 4.2.1, with RFC 8972's SSID: number, time stamp, error estimate (S 0; Z; a second), SSID, zeros."""
    now = time.time_ns()
    seconds, rest = divmod(now, 10**9)
    if ptp:
        stamp = struct.pack("!II", seconds, rest)
    else:
        stamp = struct.pack("!II", seconds + NTP_1970, (rest << 32) // 10**9)
    return struct.pack("!I", seq) + stamp + (b"\x59\x80" if ptp else b"\x19\x80") + struct.pack("!H", ssid) + bytes(28)


def seconds_of(stamp: bytes, *, ptp: bool = False) -> float:
    whole: int
    part: int
    whole, part = struct.unpack("!II", stamp)
    return whole + part / 10**9 if ptp else whole - NTP_1970 + part / 2**32


@IN_GUEST
async def test_the_reflector_speaks_to_a_sender_that_knows_the_rfc_alone(guest: Booted) -> None:
    lab, instance, call = guest.lab, guest.instance, guest.call
    with sender(lab, instance.address) as sock, sender(lab, instance.address) as other:
        sock.send(packet(0, 1))
        with pytest.raises(ConnectionRefusedError):
            sock.recv(100)  # nothing listens unless it was asked for
        assert await call.ask("/reflector") == {"workers": []}
        await begin_reflector(call)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 20)
        numbers = []
        for stream, seq, ssid, ptp in (
            (sock, 5, 1, False),
            (sock, 6, 1, True),
            (other, 6, 1, False),
            (sock, 7, 2, False),
        ):
            stream.send(b"no such packet")
            sent = packet(seq, ssid, ptp=ptp)
            stream.send(sent + b"and more")
            answer = await asyncio.to_thread(stream.recv, 2048)
            assert len(answer) == len(sent) + 8
            assert answer[24:28] == sent[0:4], "sequence number"
            assert answer[28:36] == sent[4:12], "time stamp"
            assert answer[36:38] == sent[12:14], "error estimate"
            assert answer[14:16] == sent[14:16], "SSID"
            assert answer[38:40] == bytes(2)
            assert answer[40] == (20 if stream is sock else 64) - ROUTERS, "TTL"
            assert answer[41:44] == bytes(3)
            assert answer[44:] == b"and more"
            error = int.from_bytes(answer[12:14])
            assert bool(error & 0x4000) == ptp, "time stamps of the sender's kind"
            assert error & 0xFF, "a multiplier of 0 is forbidden"
            received, answered = (seconds_of(answer[at : at + 8], ptp=ptp) for at in (16, 4))
            assert received <= answered
            assert abs(received - time.time()) < 60
            numbers.append(int.from_bytes(answer[0:4]))
        assert numbers == [0, 1, 0, 0], "a count for each session"


@IN_GUEST
async def test_packets_that_wait_for_a_paused_guest_are_all_answered(guest: Booted) -> None:
    lab, instance, call = guest.lab, guest.instance, guest.call
    await begin_reflector(call)
    monitor = instance.monitors["host-a"]
    with sender(lab, instance.address) as sock:
        sock.send(packet(0, 1))
        assert int.from_bytes((await asyncio.to_thread(sock.recv, 100))[0:4]) == 0
        await monitor.execute("stop")
        for seq in range(1, WAITING + 1):
            sock.send(packet(seq, 1))
        await monitor.execute("cont")
        answers = [await asyncio.to_thread(sock.recv, 100) for _ in range(WAITING)]
    for at, answer in enumerate(answers, start=1):
        assert (int.from_bytes(answer[24:28]), int.from_bytes(answer[0:4])) == (at, at)
