"""STAMP's packets against the layouts of RFC 8762 octet by octet and an independent reader; the reflector in them."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures import classic, ethernet, ip, udp
from migrascope.guest.reflector import MOST_SESSIONS, Sessions, answer, listening
from migrascope.model import stamp
from migrascope.model.stamp import PTP, SYNCHRONIZED, UNKNOWN_CLOCK, Reply, Request, error_estimate, request
from migrascope.probe.stamp import Row, StampSocket
from needs import tshark_program

NS = 10**9
U16, U32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
TTL = st.integers(0, 255)
NTP_TIMES = st.integers(0, 4_233_462_144 * NS - 1)
"""ns since 1970; those of NTP's two eras that are told apart begin in 1968 and end in 2104."""
ERRORS = st.builds(lambda high, multiplier: high << 8 | multiplier, st.integers(0, 255), st.integers(1, 255))

# 2023-11-14 22:13:20.5 UTC is 1 700 000 000.5 s since 1970 and 0xE8FE6F80 s since 1900; half a second is 2^31 of 2^32.
HALF_PAST = 1_700_000_000 * NS + NS // 2
NTP_HALF_PAST = "e8fe6f8080000000"
PTP_HALF_PAST = "6553f1001dcd6500"
SENDER_NTP = bytes.fromhex(
    "00000102"  # sequence number
    + NTP_HALF_PAST
    + "1980"  # error estimate: S 0, Z 0, scale 25, multiplier 128: a second
    "0a0b"  # SSID
     + "00" * 28
)
REFLECTOR_NTP = bytes.fromhex(
    "00000003"  # the reflector's own sequence number
    "e8fe6f8100000000"  # sent half a second later
    "1980"
    "0a0b"
    "e8fe6f80c0000000"  # received a quarter of a second later
    "00000102" + NTP_HALF_PAST + "1980"  # as they came
    "0000"
    "3f"  # TTL
    "000000"
)


def test_a_senders_packet_is_that_of_the_rfc() -> None:
    assert request(0x102, HALF_PAST, 0x0A0B) == SENDER_NTP
    asked = Request(SENDER_NTP)
    assert (asked.seq, asked.sent_ns, asked.error, asked.ssid) == (0x102, HALF_PAST, 0x1980, 0x0A0B)


def test_a_reflectors_packet_is_that_of_the_rfc() -> None:
    assert Request(SENDER_NTP).reply(3, HALF_PAST + NS // 4, HALF_PAST + NS // 2, 63) == REFLECTOR_NTP
    told = Reply(REFLECTOR_NTP)
    assert (told.number, told.sent_ns, told.error, told.ssid) == (3, HALF_PAST + NS // 2, 0x1980, 0x0A0B)
    assert (told.received_ns, told.seq, told.asked_ns, told.asked_error) == (
        HALF_PAST + NS // 4, 0x102, HALF_PAST, 0x1980,
    )  # fmt: skip
    assert told.ttl == 63


def test_ptp_time_stamps_are_answered_in_kind() -> None:
    error = error_estimate(1.0, ptp=True)
    packet = request(7, HALF_PAST, error=error)
    assert packet[4:12].hex() == PTP_HALF_PAST
    assert packet[12:14].hex() == "5980"
    told = Reply(Request(packet).reply(0, HALF_PAST, HALF_PAST + 1, 64))
    assert told.error & PTP
    assert (told.received_ns, told.sent_ns, told.asked_ns) == (HALF_PAST, HALF_PAST + 1, HALF_PAST)


@given(seq=U32, sent=NTP_TIMES, ssid=U16, error=ERRORS, more=st.binary(max_size=40))
def test_a_request_is_read_back(seq: int, sent: int, ssid: int, error: int, more: bytes) -> None:
    packet = request(seq, sent, ssid, error)
    assert len(packet) == 44
    asked = Request(packet + more)
    assert (asked.seq, asked.sent_ns, asked.ssid, asked.error) == (seq, sent, ssid, error)


@given(asked=st.tuples(U32, NTP_TIMES, U16, ERRORS), number=U32, received=NTP_TIMES, sent=NTP_TIMES, ttl=TTL,
       more=st.binary(max_size=40))  # fmt: skip
def test_a_reply_is_read_back_and_as_long(
    asked: tuple[int, int, int, int], number: int, received: int, sent: int, ttl: int, more: bytes
) -> None:
    packet = request(*asked) + more
    answered = Request(packet).reply(number, received, sent, ttl)
    assert len(answered) == len(packet)
    assert answered[44:] == more
    told = Reply(answered)
    assert (told.number, told.received_ns, told.sent_ns, told.ttl) == (number, received, sent, ttl)
    assert (told.seq, told.asked_ns, told.ssid, told.asked_error) == asked
    assert told.error & PTP == asked[3] & PTP
    assert not told.error & SYNCHRONIZED


@given(st.floats(2.0**-32, 1e9))
def test_an_error_is_said_no_smaller_than_it_is(seconds: float) -> None:
    said = stamp.error_s(error_estimate(seconds))
    assert seconds <= said * (1 + 1e-12)
    assert said <= seconds * 1.02 + 2.0**-32


def test_the_parts_of_an_error_estimate() -> None:
    assert error_estimate(0.0) == 1, "a multiplier of 0 is forbidden"
    assert error_estimate(1.0) == 25 << 8 | 128
    assert error_estimate(1.0, synchronized=True, ptp=True) == 0xC000 | 25 << 8 | 128
    assert error_estimate(255 * 2.0**31) == 0x3FFF
    for wrong in (-1e-9, 256 * 2.0**31):
        with pytest.raises(ValueError, match="cannot be said"):
            error_estimate(wrong)


@given(st.binary(max_size=43))
def test_short_packets_are_refused(packet: bytes) -> None:
    for parse in (Request, Reply):
        with pytest.raises(ValueError, match=f"{len(packet)} octets"):
            parse(packet)


@given(st.binary(min_size=44, max_size=80))
def test_any_octets_are_read_or_refused(packet: bytes) -> None:
    for parse in (Request, Reply):
        with contextlib.suppress(ValueError):
            parse(packet)


def test_foreign_packets_are_refused() -> None:
    with pytest.raises(ValueError, match="multiplier of 0"):
        Request(bytes(44))
    bad = bytearray(request(1, HALF_PAST, error=error_estimate(1.0, ptp=True)))
    bad[8:12] = NS.to_bytes(4, "big")
    with pytest.raises(ValueError, match="1000000000 ns in a second"):
        Request(bytes(bad))


def test_ntp_goes_on_after_2036() -> None:
    wrap = (2**32 - 2_208_988_800) * NS
    packets = [request(0, wrap + step) for step in (-1, 0)]
    assert packets[1][4:12] == bytes(8)
    assert [Request(packet).sent_ns for packet in packets] == [wrap - 1, wrap]


def test_wireshark_reads_the_same(tmp_path: Path) -> None:
    """Its reader of TWAMP's test packets, which RFC 8762, 4.6 lays STAMP's out like."""
    path = tmp_path / "stamp.pcap"
    frame = ethernet(ip("192.0.2.10", "192.0.2.1", 17, udp((862, 5000), REFLECTOR_NTP)))
    path.write_bytes(classic([(HALF_PAST, frame, len(frame))]))
    names = ("seq_number", "timestamp", "error_estimate", "receive_timestamp", "sender_seq_number", "sender_timestamp",
             "sender_error_estimate", "sender_ttl")  # fmt: skip
    fields = [word for name in names for word in ("-e", f"twamp.test.{name}")]
    command = [tshark_program(), "-r", str(path), "-d", "udp.port==862,twamp.test", "-T", "fields", *fields]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env={"TZ": "UTC"})
    number, sent, error, received, seq, asked, asked_error, ttl = done.stdout.rstrip("\n").split("\t")
    assert (int(number), int(seq), int(ttl)) == (3, 0x102, 63)
    assert [int(each, 0) for each in (error, asked_error)] == [0x1980, 0x1980]
    for text, time_of_day in ((asked, "22:13:20.5"), (received, "22:13:20.75"), (sent, "22:13:21.0")):
        assert time_of_day in text


def test_the_guest_can_run_it_on_the_standard_library_alone() -> None:
    code = "import sys, migrascope.guest.reflector; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(Path(stamp.__file__).parents[2])})  # fmt: skip
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded - set(sys.stdlib_module_names) - {"migrascope", "__main__"}
    assert not loaded & {"dataclasses", "typing", "json", "asyncio"}, "slow to load in an emulated guest"


def test_each_session_has_its_own_numbers_and_the_most_silent_one_makes_room() -> None:
    sessions = Sessions(2)
    row, other, third = (("192.0.2.1", port, 0) for port in (1, 2, 3))
    assert [sessions.number(row, 5), sessions.number(other, 5), sessions.number(row, 6)] == [0, 0, 1]
    assert sessions.number(third, 5) == 0
    assert sessions.number(row, 9) == 2, "the other was silent the longest"
    assert sessions.number(other, 6) == 0


def test_a_sender_that_begins_anew_is_a_new_session() -> None:
    sessions = Sessions()
    assert [sessions.number(("192.0.2.1", 1, 0), seq) for seq in (0, 1, 2, 0, 1)] == [0, 1, 2, 0, 1]


@pytest.fixture(params=["127.0.0.1", "::1"])
def reflecting(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """The address of a reflector that answers until the test is over."""
    stream, sessions, ending = listening(0), Sessions(), threading.Event()

    def work() -> None:
        while not ending.is_set():
            answer(stream, sessions)

    thread = threading.Thread(target=work)
    thread.start()
    address = request.param, stream.getsockname()[1]
    yield address
    ending.set()
    with client(address) as last:
        last.send(b"")
    thread.join(10)
    stream.close()
    assert not thread.is_alive()


def client(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(10)
    sock.connect(address)
    return sock


def test_a_reflector_numbers_each_session_and_leaves_foreign_packets_alone(reflecting: tuple[str, int]) -> None:
    with client(reflecting) as sock, client(reflecting) as other:
        if ":" in reflecting[0]:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 17)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 17)
        numbers = []
        for asker, seq, ssid in ((sock, 10, 1), (sock, 11, 1), (other, 5, 1), (sock, 12, 2), (sock, 14, 1)):
            asker.send(b"foreign")
            asker.send(bytes(44))
            asker.send(request(seq, HALF_PAST, ssid) + b"padding")
            packet = asker.recv(2048)
            told = Reply(packet)
            assert (told.seq, told.asked_ns, told.ssid, packet[44:]) == (seq, HALF_PAST, ssid, b"padding")
            assert told.ttl == (17 if asker is sock else 64)
            assert told.received_ns <= told.sent_ns
            numbers.append(told.number)
        assert numbers == [0, 1, 0, 0, 2]


def test_what_waited_shows_when_it_came_in() -> None:
    """Packets that lie in the socket's buffer while nobody reads have the kernel's stamps."""
    stream, sessions = listening(0), Sessions()
    with stream, client(("127.0.0.1", stream.getsockname()[1])) as sock:
        for seq in range(1500):
            sock.send(request(seq, HALF_PAST))
        told = []
        for _ in range(1500):
            assert answer(stream, sessions)
            told.append(Reply(sock.recv(2048)))
        assert [each.seq for each in told] == [each.number for each in told] == list(range(1500)), "none was dropped"
        assert told[-1].received_ns < told[0].sent_ns


def test_the_prober_records_what_the_reflector_told(reflecting: tuple[str, int]) -> None:
    with StampSocket(*reflecting) as prober:
        wall, sent = time.time_ns(), [prober.send(prober.request(seq)) for seq in (4, 9)]
        rows: list[Row] = []
        until = time.monotonic() + 10
        while len(rows) < 2 and time.monotonic() < until:
            rows += prober.receive(100)
        assert [(seq, number, ttl) for seq, number, _, _, ttl, _, _ in rows] == [(4, 0, 64), (9, 1, 64)]
        for (_, _, received, answered, _, arrived, read), before in zip(rows, sent, strict=True):
            assert wall <= received <= answered <= arrived <= time.time_ns()
            assert before < read <= time.monotonic_ns()


def test_a_packet_that_nobody_takes_is_only_a_lost_one() -> None:
    with listening(0) as free:
        port = free.getsockname()[1]
    with StampSocket("127.0.0.1", port) as prober:
        for seq in range(3):
            assert prober.send(prober.request(seq)) > 0
        assert prober.receive(10) == []


def test_sessions_are_bounded() -> None:
    sessions = Sessions()
    for port in range(10 * MOST_SESSIONS):
        sessions.number(("192.0.2.1", port, 0), 1)
    assert len(sessions._next) == MOST_SESSIONS


def test_a_port_that_is_taken_is_said() -> None:
    with listening(0) as stream, pytest.raises(OSError, match="in use"):
        listening(stream.getsockname()[1])


def test_the_claimed_error_is_a_clock_that_nobody_set() -> None:
    assert stamp.error_s(UNKNOWN_CLOCK) == 1.0
    assert not UNKNOWN_CLOCK & SYNCHRONIZED
