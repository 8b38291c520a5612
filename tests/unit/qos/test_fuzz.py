"""Damaged captures: whatever stands in a file, it is read as far as it goes, or refused with a reason."""

import gzip
import random
import resource
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from captures import (
    classic,
    enhanced,
    ethernet,
    geneve,
    gre,
    icmp,
    interface,
    ip,
    mpls,
    nflog,
    option,
    pppoe,
    rtp,
    section,
    snap,
    tcp,
    udp,
    unreachable,
    vxlan,
)
from kept import Kept
from migrascope.qos.examine import examine
from migrascope.qos.table import table
from migrascope.store.pcap.reader import CaptureError
from talks import BASE, Conversation, answered, echoes, stream

LIMIT_S = 60
A, B = "10.0.0.1", "10.0.0.2"


def frames() -> list[bytes]:
    """A packet of every kind that is looked into."""
    four = ip(A, B, 6, tcp((40000, 80), 7, 9, 16, b"x" * 30, stamps=(1, 2)))
    six = ip("2001:db8::1", "2001:db8::2", 6, tcp((40000, 80), 7, 9, 2, b"x" * 30))
    part = ip(A, B, 17, udp((5, 6), bytes(40)), fragment=0x2000)
    return [
        ethernet(four), ethernet(six, 0x86DD), ethernet(four, tags=[0x88A8, 0x8100]), ethernet(part),
        ethernet(ip(A, B, 17, bytes(40), fragment=5)), ethernet(ip(A, B, 1, icmp(8, 3, 1))),
        ethernet(ip(A, B, 17, udp((5004, 5004), rtp(3, 160)))), vxlan(5, ethernet(four)),
        geneve(5, ethernet(six, 0x86DD)),
        gre(four, 0x0800, key=3), mpls(four), pppoe(four), snap(four), ethernet(bytes(28), 0x0806),
        ethernet(ip("::1", "::2", 44, b"\6\0\0\1\0\0\0\7" + bytes(30)), 0x86DD),
        ethernet(ip(B, A, 1, unreachable(3, ip(A, B, 17, udp((5004, 5004), bytes(9)))))),
        ethernet(ip("2001:db8::2", "2001:db8::1", 58, unreachable(4, six, kept=48)), 0x86DD),
        ethernet(b"\0\1\x08\0\6\4\0\3" + bytes(20), 0x8035),
    ]  # fmt: skip


def corpus() -> list[bytes]:
    made = [(BASE + 10**6 * at, frame, len(frame)) for at, frame in enumerate(frames() * 3)]
    blocks = b"".join(enhanced((time - BASE) // 1000, frame, wire) for time, frame, wire in made)
    cooked = [(BASE + at, bytes(14) + b"\x08\0" + frame[14:], 99) for at, frame in enumerate(frames())]
    logged = [(BASE + at, nflog(frame[14:]), 99) for at, frame in enumerate(frames())]
    talk = answered(Conversation(), 20)
    for number in range(20):
        talk.server(300 + number, 1 + 100 * number * (number % 3), 2001, 100)
    talked = sorted([*talk.packets, *echoes({3}, 4, 20), *stream({5}, 1, count=30)], key=lambda each: each[0])
    ported = (
        section()
        + interface(resolution=9, name=b"tap1")
        + interface(resolution=9, name=b"eth0")
        + b"".join(
            enhanced(
                time + 10**9 * (at > 40), frame, wire, which=int(at > 40), options=option(2, bytes([at % 3, 0, 0, 0]))
            )
            for at, (time, frame, wire) in enumerate(talked)
        )
    )
    plain = [
        classic(talked, nano=True), ported,
        classic(made), classic(made, order=">", nano=True), classic(cooked, link=113), classic(logged, link=239),
        section() + interface() + blocks,
        section() + interface(resolution=9, offset_s=7) + blocks + section(">") + interface(">"),
    ]  # fmt: skip
    return [*plain, *(gzip.compress(each) for each in plain[:1] + plain[-1:])]


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """Some bytes set, taken out, doubled, or the end cut off."""
    data = bytearray(whole)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        at = chance.randrange(len(data)) if len(data) else 0
        size = chance.choice([1, 2, 4, 16, 100])
        match chance.randrange(6):
            case 0:
                data[at : at + size] = chance.randbytes(size)
            case 1:
                data[at : at + size] = chance.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * size
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size]
            case 4:
                del data[at:]
            case _:
                if len(data):
                    data[at % len(data)] ^= 1 << chance.randrange(8)
    return bytes(data)


def read_all(path: Path, number: int, seed: int) -> tuple[int, float]:
    """(how many were read, the longest time of one, s) of so many mutations."""
    chance, sound, longest = random.Random(seed), corpus(), 0.0
    read = 0
    for at in range(number):
        path.write_bytes(mutated(chance.choice(sound), chance))
        began = time.process_time()
        try:
            with at_most(LIMIT_S):
                found = examine(path, window_s=chance.choice([0.001, 1, 1e6]))
                "".join(found.as_json())
                table(found)
            assert all(flow.duration_s >= 0 and flow.start_s >= 0 for flow in found.flows)
            read += 1
        except CaptureError:
            pass
        except Exception as error:
            kept = path.with_name(f"failed-{seed}-{at}")
            path.rename(kept)
            raise AssertionError(f"{kept}: {error!r}") from error
        longest = max(longest, time.process_time() - began)
    return read, longest


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """TimeoutError where it takes more of the processor's time."""

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_a_hundred_mutations(tmp_path: Path) -> None:
    read, _ = read_all(tmp_path / "capture", 100, 1)
    assert read > 30


@pytest.mark.soak
def test_a_hundred_thousand_mutations(tmp_path: Path, kept: Kept) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    read_all(tmp_path / "capture", 100, seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, longest = read_all(tmp_path / "capture", 100_000, seed)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    kept.write(
        f"100,000 mutations of seed {seed}: {read} of them read, the others refused; the longest took {longest:.2f} s "
        f"of processor time; {more:.0f} MiB more memory\n"
    )
    assert more < 200
