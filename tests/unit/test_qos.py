"""Captures with known truths: what is said of their flows is what was put in."""

import gzip
import itertools
import json
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import Packet, classic, ethernet, icmp, ip, rtp, tcp, udp, vxlan
from migrascope.cli import capturing
from migrascope.cli.capturing import qos
from migrascope.metrics.qos import flows as flows_module
from migrascope.metrics.qos import tally as tally_module
from migrascope.metrics.qos.examine import examine
from migrascope.metrics.qos.result import Direction, FlowQos, Qos
from migrascope.model.problem import UsageProblem
from migrascope.store.pcap import reader

MS = 1_000_000
BASE = 1_700_000_000 * 10**9
CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
SYN, ACK, FIN, RST = 2, 16, 1, 4


class Conversation:
    """Segments of one TCP flow. `client` and `server` add one at a time in ms, relative numbers, wrapping."""

    def __init__(self, *, port: int = 40000, stamps: bool = True, isn: int = 2**32 - 500) -> None:
        self.packets: list[Packet] = []
        self.port, self.stamps, self.isn = port, stamps, isn

    def _add(
        self, at_ms: float, ends: tuple[str, str], ports: tuple[int, int], seq: int, ack: int, flags: int, length: int,
        stamps: tuple[int, int] | None, window: int,
    ) -> None:  # fmt: skip
        wrapped = (seq + self.isn) % 2**32, (ack + self.isn) % 2**32 if flags & ACK else 0
        segment = tcp(ports, *wrapped, flags, bytes(length), stamps=stamps, window=window)
        frame = ethernet(ip(*ends, 6, segment))
        self.packets.append((BASE + round(at_ms * MS), frame, len(frame)))

    def client(
        self, at_ms: float, seq: int, ack: int, length: int = 0, flags: int = ACK,
        stamps: tuple[int, int] | None = None, window: int = 500,
    ) -> None:  # fmt: skip
        self._add(at_ms, (CLIENT, SERVER), (self.port, 80), seq, ack, flags, length, stamps, window)

    def server(
        self, at_ms: float, seq: int, ack: int, length: int = 0, flags: int = ACK,
        stamps: tuple[int, int] | None = None, window: int = 500,
    ) -> None:  # fmt: skip
        self._add(at_ms, (SERVER, CLIENT), (80, self.port), seq, ack, flags, length, stamps, window)


def measured(
    folder: Path, packets: list[Packet], *, window_s: float = 1.0, server: str | None = None, by_time: bool = True
) -> Qos:
    path = folder / "capture.pcap"
    path.write_bytes(classic(sorted(packets, key=lambda packet: packet[0]) if by_time else packets, nano=True))
    return examine(path, window_s=window_s, server=server)


def only(found: Qos) -> FlowQos:
    assert len(found.flows) == 1
    return found.flows[0]


def sent_by(flow: FlowQos, address: str) -> Direction:
    return next(direction for direction in flow.directions if direction.sender.startswith(address))


@pytest.fixture(params=[200, 4 << 20], ids=["small chunks", "usual chunks"], autouse=True)
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flow must be the same whether it comes in one batch or in many."""
    monkeypatch.setattr(reader, "CHUNK", request.param)
    monkeypatch.setattr(reader, "MOST_BYTES", 70_000)


USUAL = pytest.mark.parametrize("chunk", [4 << 20], ids=["usual chunks"], indirect=True)
"""For tests that are of the length of a batch themselves."""


def test_handshake_and_round_trips_by_time_stamps(tmp_path: Path) -> None:
    talk = Conversation()
    talk.client(0, 0, 0, flags=SYN, stamps=(100, 0))
    talk.server(7, 0, 1, flags=SYN | ACK, stamps=(900, 100))
    talk.client(8, 1, 1, stamps=(108, 900))
    for number in range(50):
        begin, delay = 100 + 20 * number, 5 + number % 10
        talk.client(begin, 1 + 100 * number, 1 + 100 * number, 100, stamps=(200 + begin, 900 + begin - 12))
        talk.server(begin + delay, 1 + 100 * number, 101 + 100 * number, 100, stamps=(1000 + begin, 200 + begin))
    flow = only(measured(tmp_path, talk.packets))
    assert flow.protocol == "tcp"
    assert flow.initial_rtt.value == pytest.approx(0.008)
    client = sent_by(flow, CLIENT)
    truth = [0.007] + [(5 + number % 10) / 1e3 for number in range(50)]
    assert client.metrics["delay_s"].value == pytest.approx(np.mean(truth))
    assert client.metrics["delay_s"].samples == len(truth)
    assert client.metrics["delay_p50_s"].value == pytest.approx(np.median(truth), rel=0.12)
    assert client.metrics["delay_max_s"].value == 0.014
    assert client.metrics["jitter_s"].value == pytest.approx(np.abs(np.diff(truth)).mean())
    assert client.metrics["loss_ratio"].value == 0
    assert client.counts["packets"] == 52
    assert client.counts["payload_bytes"] == 5000


def test_round_trips_by_acknowledgements_leave_out_what_was_sent_again(tmp_path: Path) -> None:
    talk = Conversation()
    talk.client(0, 0, 0, flags=SYN)
    talk.server(10, 0, 1, flags=SYN | ACK)
    talk.client(20, 1, 1)
    talk.client(100, 1, 1, 100)
    talk.server(130, 1, 101)
    talk.client(200, 101, 1, 100)
    talk.client(400, 101, 1, 100)
    talk.server(410, 1, 201)
    client = sent_by(only(measured(tmp_path, talk.packets)), CLIENT)
    assert client.metrics["delay_s"].value == pytest.approx((0.010 + 0.030) / 2)
    assert client.metrics["delay_s"].samples == 2
    assert client.counts["retransmitted"] == 1


def test_lost_before_the_capture_sent_again_late_and_twice(tmp_path: Path) -> None:
    talk = Conversation()
    talk.client(0, 0, 0, flags=SYN)
    talk.server(5, 0, 1, flags=SYN | ACK)
    talk.client(10, 1, 1)
    talk.server(20, 1, 1, 1000)
    talk.server(21, 2001, 1, 1000)  # 1001 to 2000 did not come this far
    for at in (21.1, 21.2, 21.3):
        talk.client(at, 1, 1001)
    talk.server(31, 1001, 1, 1000)  # asked for by two duplicates, within 20 ms: sent again
    talk.client(32, 1, 3001)
    talk.server(40, 4001, 1, 1000)  # 3001 to 4000 was overtaken
    talk.server(41, 3001, 1, 1000)  # and comes 1 ms later: out of order
    talk.client(42, 1, 5001)
    talk.server(400, 4001, 1, 1000)  # acknowledged already: a needless one
    flow = only(measured(tmp_path, talk.packets))
    server, client = sent_by(flow, SERVER), sent_by(flow, CLIENT)
    assert server.counts["lost_segments"] == 2
    assert server.counts["retransmitted"] == 2
    assert server.counts["out_of_order"] == 1
    assert server.counts["data_segments"] == 7
    assert server.metrics["loss_ratio"].value == pytest.approx(2 / 7)
    assert client.counts["duplicate_acks"] == 2


def test_keep_alives_are_nothing_sent_again(tmp_path: Path) -> None:
    talk = Conversation()
    talk.client(0, 1, 1, 100)
    talk.server(5, 1, 101)
    for at in range(1000, 5000, 1000):
        talk.client(at, 100, 1)
        talk.server(at + 5, 1, 101)
    client = sent_by(only(measured(tmp_path, talk.packets)), CLIENT)
    assert client.counts["retransmitted"] == 0
    assert client.metrics["delay_s"].samples == 1


def test_without_handshake_and_answers_it_says_why(tmp_path: Path) -> None:
    talk = Conversation()
    for at in range(5):
        talk.client(at * 10, 1 + 100 * at, 1, 100)
    flow = only(measured(tmp_path, talk.packets))
    assert flow.initial_rtt.reason == "its handshake is not in the capture"
    assert len(flow.directions) == 1
    assert flow.directions[0].metrics["delay_s"].reason == "nothing that it sent was answered in the capture"
    assert flow.directions[0].metrics["loss_ratio"].value == 0


def test_a_port_that_is_used_again_is_another_flow(tmp_path: Path) -> None:
    packets = []
    for number in range(3):
        talk = Conversation(isn=1000 * 7**number)
        begin = 100 * number
        talk.client(begin, 0, 0, flags=SYN)
        talk.client(begin + 5, 0, 0, flags=SYN)
        talk.server(begin + 7, 0, 1, flags=SYN | ACK)
        talk.client(begin + 8, 1, 1, 100)
        talk.server(begin + 9, 1, 101, flags=FIN | ACK)
        packets += talk.packets
    flows = measured(tmp_path, packets).flows
    assert [flow.initial_rtt.value for flow in flows] == pytest.approx([0.003] * 3)
    assert [sent_by(flow, CLIENT).counts["packets"] for flow in flows] == [3] * 3
    assert [sent_by(flow, SERVER).counts["lost_segments"] for flow in flows] == [0] * 3


def test_throughput_by_window(tmp_path: Path) -> None:
    made: list[Packet] = []
    for at in range(40):
        frame = ethernet(ip(CLIENT, SERVER, 17, udp((5, 6), bytes(100))))
        made.append((BASE + at * 100 * MS, frame, 1000 if at < 20 else 500))
    found = measured(tmp_path, made, window_s=0.5)
    (direction,) = only(found).directions
    assert [window.throughput_bps for window in direction.windows] == [5 * 8000 / 0.5] * 4 + [5 * 4000 / 0.5] * 4
    assert [window.start_s for window in direction.windows] == [0.5 * n for n in range(8)]
    assert found.totals.windows == [(0.5 * n, 5, 5000 if n < 4 else 2500) for n in range(8)]
    assert direction.metrics["throughput_bps"].value == pytest.approx(30000 * 8 / 3.9)
    assert direction.metrics["delay_s"].reason == "its packets carry no numbers that are known"


def echoes(lost: set[int], delay_ms: float, count: int = 100) -> Iterator[Packet]:
    for seq in range(count):
        ask = ethernet(ip(CLIENT, SERVER, 1, icmp(8, 3, seq)))
        yield BASE + seq * 100 * MS, ask, len(ask)
        if seq not in lost:
            reply = ethernet(ip(SERVER, CLIENT, 1, icmp(0, 3, seq)))
            yield BASE + round((seq * 100 + delay_ms + seq % 2) * MS), reply, len(reply)


def test_echo(tmp_path: Path) -> None:
    client = sent_by(only(measured(tmp_path, list(echoes({10, 11, 12, 99}, 4)))), CLIENT)
    assert client.counts["requests"] == 100
    assert client.counts["lost"] == 3, "the last one may still have been answered"
    assert client.metrics["loss_ratio"].value == pytest.approx(3 / 99)
    assert client.metrics["delay_s"].value == pytest.approx(0.0045, rel=0.01)
    lossy = [window.loss_ratio for window in client.windows if window.loss_ratio]
    assert lossy == [0.3]


def test_an_echo_of_more_than_3_s_is_lost(tmp_path: Path) -> None:
    client = sent_by(only(measured(tmp_path, list(echoes(set(), 3001, 60)))), CLIENT)
    assert client.counts["lost"] == 60
    assert client.metrics["delay_s"].value is None


def test_an_echo_before_a_later_answered_one_is_lost_though_the_capture_ends(tmp_path: Path) -> None:
    client = sent_by(only(measured(tmp_path, list(echoes({96, 98}, 4)))), CLIENT)
    assert client.counts["lost"] == 2
    assert client.metrics["loss_ratio"].value == pytest.approx(2 / 100)


def ping(at_ms: float, kind: int, seq: int, ends: tuple[str, str] = (CLIENT, SERVER)) -> Packet:
    frame = ethernet(ip(*(ends if kind else ends[::-1]), 1, icmp(kind, 9, seq)))
    return BASE + round(at_ms * MS), frame, len(frame)


def test_an_identifier_and_number_that_come_again_hide_no_loss(tmp_path: Path) -> None:
    packets = []
    for begin, delay in ((0, 1), (60_000, 2)):
        for seq in range(1, 6):
            packets.append(ping(begin + 1000 * seq, 8, seq))
            if (begin, seq) not in ((0, 5), (60_000, 2)):
                packets.append(ping(begin + 1000 * seq + delay, 0, seq))
    client = sent_by(only(measured(tmp_path, packets)), CLIENT)
    assert (client.counts["requests"], client.counts["lost"]) == (10, 2)
    assert client.metrics["delay_s"].value == pytest.approx((4 * 1 + 4 * 2) / 8 / 1e3)


def test_a_request_is_answered_once_and_a_reply_belongs_to_the_newest(tmp_path: Path) -> None:
    packets = [ping(0, 8, 1), ping(1000, 8, 1), ping(1004, 0, 1), ping(1500, 8, 2), ping(1506, 0, 2), ping(1507, 0, 2)]
    client = sent_by(only(measured(tmp_path, packets)), CLIENT)
    assert client.metrics["delay_s"].value == pytest.approx(0.005)
    assert client.metrics["delay_s"].samples == 2
    assert client.counts["lost"] == 1


def test_a_ping_of_the_own_address(tmp_path: Path) -> None:
    own = ("127.0.0.1", "127.0.0.1")
    packets = [ping(1000 * seq + late, kind, seq, own) for seq in range(5) for kind, late in ((8, 0), (0, 0.04))]
    asks, replies = only(measured(tmp_path, packets)).directions
    assert (asks.counts["requests"], asks.counts["lost"], replies.counts["requests"]) == (5, 0, 0)
    assert asks.metrics["delay_s"].value == pytest.approx(40e-6)


def test_numbers_that_move_by_more_than_2_gib_within_a_batch(tmp_path: Path) -> None:
    talk = Conversation(isn=0)
    talk.client(0, 0, 0, flags=SYN)
    talk.server(1, 0, 1, flags=SYN | ACK)
    talk.client(2, 1, 1)
    for turn in range(1, 12):
        talk.client(10 * turn, 1 + turn * 10**9, 1, 100)
        talk.server(10 * turn + 5, 1, 101 + turn * 10**9)
    client = sent_by(only(measured(tmp_path, talk.packets)), CLIENT)
    assert (client.counts["retransmitted"], client.counts["out_of_order"]) == (0, 0)
    assert (client.counts["lost_segments"], client.metrics["delay_s"].samples) == (11, 12)


@USUAL
def test_a_bulk_stream_of_many_gib_loses_nothing(tmp_path: Path) -> None:
    """Its numbers move more than 2 GiB within one batch."""
    talk, size = Conversation(stamps=False), 65_000
    frame = ethernet(ip(SERVER, CLIENT, 6, tcp((80, talk.port), 0, 1, ACK)))
    packets = []
    for number in range(40_000):
        at = BASE + number * 20_000
        seq = struct.pack(">I", number * size & 0xFFFFFFFF)
        packets.append((at, frame[:16] + struct.pack(">H", 40 + size) + frame[18:38] + seq + frame[42:], 54 + size))
    server = only(measured(tmp_path, packets)).directions[0]
    assert server.counts["payload_bytes"] == 2_600_000_000
    assert [server.counts[name] for name in ("retransmitted", "out_of_order", "lost_segments")] == [0, 0, 0]


def stream(lost: set[int], jitter_ms: float, *, kind: int = 0, first: int = 65500, count: int = 400) -> list[Packet]:
    """RTP every 20 ms; every other packet jitter_ms late."""
    made = []
    for number in set(range(count)) - lost:
        frame = ethernet(ip(CLIENT, SERVER, 17, udp((5004, 5004), rtp(first + number, 160 * number, kind=kind))))
        made.append((BASE + round((20 * number + jitter_ms * (number % 2)) * MS), frame, len(frame)))
    return made


@pytest.mark.parametrize("kind", [0, 96])
def test_rtp(tmp_path: Path, kind: int) -> None:
    (direction,) = only(measured(tmp_path, stream({50, 51, 300}, 3, kind=kind))).directions
    assert direction.metrics["loss_ratio"].value == pytest.approx(3 / 400)
    assert direction.counts["expected"] == 400
    running, total, steps = 0.0, 0.0, 0
    previous = None
    for number in sorted(set(range(400)) - {50, 51, 300}):
        transit = 0.003 * (number % 2)
        if previous is not None:
            running += (abs(transit - previous) - running) / 16
            total, steps = total + running, steps + 1
        previous = transit
    assert direction.metrics["jitter_s"].value == pytest.approx(total / steps, rel=1e-3 if kind == 0 else 0.1)


def test_rtp_by_window(tmp_path: Path) -> None:
    (direction,) = only(measured(tmp_path, stream({50, 51, 300}, 0), window_s=2.0)).directions
    assert [window.loss_ratio for window in direction.windows] == [0.02, 0, 0, 0.01]
    assert all(window.jitter_s == pytest.approx(0, abs=1e-9) for window in direction.windows)
    (direction,) = only(measured(tmp_path, stream(set(), 4), window_s=2.0)).directions
    last = direction.windows[-1].jitter_s
    assert last == pytest.approx(0.004, rel=0.01)


def test_what_only_begins_like_rtp_is_udp(tmp_path: Path) -> None:
    made = []
    for number in range(100):
        frame = ethernet(ip(CLIENT, SERVER, 17, udp((5, 6), rtp(number * 977, 0))))
        made.append((BASE + number * MS, frame, len(frame)))
    assert only(measured(tmp_path, made)).protocol == "udp"


def test_every_source_of_a_flow_is_a_stream(tmp_path: Path) -> None:
    made = stream({50}, 0)
    for number in set(range(100)) - set(range(40, 55)):
        frame = ethernet(ip(CLIENT, SERVER, 17, udp((5004, 5004), rtp(number, 160 * number, source=0x9999))))
        made.append((BASE + (20 * number + 5) * MS, frame, len(frame)))
    (direction,) = only(measured(tmp_path, made)).directions
    first, second = direction.sources
    assert (first.source, first.expected, first.received) == (77, 400, 399)
    assert (second.source, second.expected, second.received) == (0x9999, 100, 85)
    assert direction.metrics["loss_ratio"].value == pytest.approx(16 / 500)


def test_a_reset_of_time_stamps_is_no_jitter(tmp_path: Path) -> None:
    made = []
    for number in range(300):
        stamp = 160 * number + (2_000_000_000 if number >= 150 else 0)
        frame = ethernet(ip(CLIENT, SERVER, 17, udp((5004, 5004), rtp(number, stamp))))
        made.append((BASE + 20 * number * MS, frame, len(frame)))
    (direction,) = only(measured(tmp_path, made)).directions
    assert direction.metrics["jitter_s"].value == pytest.approx(0, abs=1e-9)
    assert direction.sources[0].resets == 1
    assert direction.metrics["loss_ratio"].value == 0


def test_a_stall_of_seconds_is_jitter_and_its_losses_are_losses(tmp_path: Path) -> None:
    made = []
    for number in set(range(4000)) - set(range(200, 3600)):
        frame = ethernet(ip(CLIENT, SERVER, 17, udp((5004, 5004), rtp(number, 8 * number))))
        late = 3000 if 100 <= number < 110 else 0
        made.append((BASE + (number + late) * MS, frame, len(frame)))
    found = measured(tmp_path, made, by_time=False)
    (direction,) = only(found).directions
    assert direction.metrics["loss_ratio"].value == pytest.approx(3400 / 4000)
    assert direction.sources[0].resets == 0


def handshake(talk: Conversation, begin: float = 0, *, data: int = 0) -> None:
    talk.client(begin, 0, 0, data, flags=SYN)
    talk.server(begin + 9, 0, 1 + data, flags=SYN | ACK)
    talk.client(begin + 10, 1 + data, 1)


def answered(talk: Conversation, segments: int) -> Conversation:
    """The conversation with a handshake and so many segments, each of which is answered."""
    handshake(talk)
    for number in range(segments):
        talk.client(20 + 10 * number, 1 + 100 * number, 1, 100)
        talk.server(29 + 10 * number, 1, 101 + 100 * number)
    return talk


def test_fast_open_is_one_flow(tmp_path: Path) -> None:
    talk = Conversation(stamps=False)
    handshake(talk, data=86)
    talk.server(20, 1, 87, 500)
    talk.client(21, 87, 501)
    flow = only(measured(tmp_path, talk.packets))
    assert flow.initial_rtt.value == pytest.approx(0.010)
    assert sent_by(flow, SERVER).counts["lost_segments"] == sent_by(flow, CLIENT).counts["retransmitted"] == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([(SYN, 0)], "its SYN was not answered"),
        ([(SYN, 0), (RST | ACK, 1)], "refused by the peer"),
        ([(SYN, 0), (SYN, 0), (RST | ACK, 1)], "refused by the peer"),
        ([(SYN, 0), (SYN | ACK, 1)], "its handshake is cut off"),
        ([(SYN | ACK, 1), (ACK, 0)], "its SYN is not in the capture"),
        ([(ACK, 0), (ACK, 1)], "its handshake is not in the capture"),
    ],
)
def test_why_there_is_no_initial_round_trip(tmp_path: Path, flags: list[tuple[int, int]], words: str) -> None:
    talk = Conversation()
    for at, (flag, side) in enumerate(flags):
        (talk.server if side else talk.client)(10 * at, 0 if flag & SYN else 1, 1 if flag & ACK else 0, flags=flag)
    assert words in str(only(measured(tmp_path, talk.packets)).initial_rtt.reason)


def test_a_handshake_at_time_0_and_within_one_tick(tmp_path: Path) -> None:
    for step, expected in ((1, 0.010), (0, 0.0)):
        talk = Conversation()
        handshake(talk)
        packets = [((time - BASE) * step, frame, wire) for time, frame, wire in talk.packets]
        flow = only(measured(tmp_path, packets, by_time=False))
        assert flow.initial_rtt.value == expected
        reason = None if step else "all its packets have one time stamp"
        assert sent_by(flow, CLIENT).metrics["throughput_bps"].reason == reason


def test_a_clock_that_steps_back_makes_nothing_negative(tmp_path: Path) -> None:
    talk = Conversation()
    for number in range(200):
        at = 100 * number - (15_000 if number >= 100 else 0)
        talk.client(at, 1 + 100 * number, 1, 100)
        talk.server(at + 1, 1, 101 + 100 * number)
    found = measured(tmp_path, talk.packets, by_time=False)
    flow = only(found)
    assert flow.duration_s == found.totals.duration_s == pytest.approx(14.901)
    assert found.totals.backward == 1
    assert found.totals.backward_s == pytest.approx(14.901)
    assert min(window.start_s for direction in flow.directions for window in direction.windows) == 0
    assert min(start for start, _, _ in found.totals.windows) == flow.start_s == 0
    assert sent_by(flow, CLIENT).metrics["delay_max_s"].value == pytest.approx(0.001)


def test_a_first_stamp_of_zero_and_the_shortest_window(tmp_path: Path) -> None:
    talk = Conversation()
    handshake(talk)
    packets = [(0, *talk.packets[0][1:]), *talk.packets]
    flow = only(measured(tmp_path, packets, window_s=0.001))
    assert (sent_by(flow, CLIENT).counts["packets"], sent_by(flow, SERVER).counts["packets"]) == (3, 1)
    assert sum(window.packets for window in sent_by(flow, CLIENT).windows) == 3


@pytest.mark.parametrize("window_s", [0.001, 1e3, 1e12, 1e300])
def test_windows_of_any_length(tmp_path: Path, window_s: float) -> None:
    talk = Conversation()
    handshake(talk)
    flow = only(measured(tmp_path, talk.packets, window_s=window_s))
    assert sum(window.packets for direction in flow.directions for window in direction.windows) == 3


def test_fragments_of_a_segment_are_no_lost_segments_and_belong_to_their_flow(tmp_path: Path) -> None:
    talk = Conversation(stamps=False, isn=0)
    handshake(talk)
    packets = list(talk.packets)
    for number in range(5):
        at = BASE + (20 + 10 * number) * MS
        whole = tcp((talk.port, 80), 1 + 1000 * number, 1, ACK, bytes(1000))
        for place in (0, 512):
            part = whole[place : place + 512] if place == 0 else whole[512:]
            flagged = place // 8 | (0x2000 if place == 0 else 0)
            frame = ethernet(ip(CLIENT, SERVER, 6, part, fragment=flagged, ident=50 + number))
            packets.append((at + place, frame, len(frame)))
        ack = ethernet(ip(SERVER, CLIENT, 6, tcp((80, talk.port), 1, 1001 + 1000 * number, ACK)))
        packets.append((at + 9 * MS, ack, len(ack)))
    found = measured(tmp_path, packets)
    client = sent_by(only(found), CLIENT)
    assert (client.counts["lost_segments"], client.counts["retransmitted"], client.counts["packets"]) == (0, 0, 12)
    assert client.counts["payload_bytes"] == 5000
    assert found.totals.not_measured == {}


def test_packets_captured_twice_count_once(tmp_path: Path) -> None:
    talk = answered(Conversation(stamps=False), 50)
    packets = [*talk.packets, *stream({50}, 0), *echoes({7}, 4)]
    once = measured(tmp_path, packets)
    found = measured(tmp_path, packets + [(time + 8000, frame, wire) for time, frame, wire in packets])
    assert found.totals.twice == len(packets)
    assert [flow.directions[0].counts for flow in found.flows] == [flow.directions[0].counts for flow in once.flows]
    for flow, single in zip(found.flows, once.flows, strict=True):
        assert flow.directions[0].metrics["loss_ratio"] == single.directions[0].metrics["loss_ratio"]
        assert flow.directions[0].metrics["delay_s"] == single.directions[0].metrics["delay_s"]


def test_what_is_really_sent_again_at_once_is_not_captured_twice(tmp_path: Path) -> None:
    talk = Conversation(stamps=False)
    handshake(talk)
    for number in range(50):
        talk.client(20 + 10 * number, 1 + 100 * number, 1, 100)
        if number == 40:
            talk.client(20.9 + 10 * number, 1 + 100 * number, 1, 100)
        talk.server(29 + 10 * number, 1, 101 + 100 * number)
        for _ in range(3):
            talk.server(29.1 + 10 * number, 1, 101 + 100 * number)
    found = measured(tmp_path, talk.packets)
    flow = only(found)
    assert found.totals.twice == 0
    client, server = sent_by(flow, CLIENT), sent_by(flow, SERVER)
    assert client.counts["retransmitted"] + client.counts["out_of_order"] == 1
    assert server.counts["duplicate_acks"] == 150


def tagged(packets: list[Packet], number: int, late_ms: float) -> list[Packet]:
    return [
        (time + round(late_ms * MS), ethernet(frame[14:], tags=[0x8100], vlan=number), wire + 4)
        for time, frame, wire in packets
    ]


def test_the_same_ends_in_two_networks_are_two_flows(tmp_path: Path) -> None:
    talk = answered(Conversation(), 20)
    in_vxlan = [
        [(time + number, vxlan(number, frame), wire + 50) for time, frame, wire in talk.packets] for number in (5, 6)
    ]
    for packets, names in (
        (tagged(talk.packets, 10, 0) + tagged(talk.packets, 20, 3), [("VLAN 10",), ("VLAN 20",)]),
        (in_vxlan[0] + in_vxlan[1], [("VXLAN 5",), ("VXLAN 6",)]),
    ):
        flows = measured(tmp_path, packets).flows
        assert [flow.inside for flow in flows] == names
        assert [sent_by(flow, CLIENT).counts["retransmitted"] for flow in flows] == [0, 0]
        assert [flow.initial_rtt.value for flow in flows] == pytest.approx([0.010, 0.010])


def test_two_ways_through_two_networks_are_one_flow(tmp_path: Path) -> None:
    talk = answered(Conversation(), 20)
    asked = [packet for packet in talk.packets if packet[1][34:36] != b"\0P"]
    told = [packet for packet in talk.packets if packet[1][34:36] == b"\0P"]
    for packets in (tagged(asked, 10, 0) + told, tagged(asked, 10, 0) + tagged(told, 20, 0)):
        flow = only(measured(tmp_path, packets))
        assert flow.initial_rtt.value == pytest.approx(0.010)
        assert sent_by(flow, CLIENT).metrics["delay_s"].samples == 21


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    for link, frame, words in (
        (127, bytes(60), "link type 127"),
        (1, ethernet(bytes(40), 0x88CC), "LLDP"),
        (1, ethernet(bytes(40), 0x1234 + 0x0800), "EtherType 0x1a34"),
        (1, bytes(12) + b"\0\x26\x42\x42\3" + bytes(35), "802.2 LLC 0x42"),
        (9, b"\xc0\x21" + bytes(20), "PPP protocol 0xc021"),
        (1, vxlan(5, ethernet(bytes(28), 0x0806)), "ARP"),
    ):
        path.write_bytes(classic([(BASE, frame, len(frame))] * 23, link=link))
        found = examine(path)
        assert (found.totals.no_ip, found.flows) == ({words: 23}, [])


def test_one_server_and_which_side_it_is(tmp_path: Path) -> None:
    talk = Conversation()
    talk.server(0, 1, 1, 100)
    talk.client(5, 1, 101)
    other = ethernet(ip("10.0.0.3", "10.0.0.4", 17, udp((5, 6), b"")))
    packets = [*talk.packets, (BASE, other, len(other))]
    assert {flow.protocol for flow in measured(tmp_path, packets).flows} == {"tcp", "udp"}
    flow = only(measured(tmp_path, packets, server=SERVER))
    assert [direction.receiver for direction in flow.directions] == [f"{SERVER}:80", f"{CLIENT}:40000"]


def test_what_is_not_measured_is_counted(tmp_path: Path) -> None:
    frames = [ethernet(b"arp", 0x0806), ethernet(ip(CLIENT, SERVER, 46, b"rsvp")), ethernet(ip(CLIENT, SERVER, 6, b""))]
    found = measured(tmp_path, [(BASE, frame, 100) for frame in frames])
    assert (found.totals.packets, found.flows) == (3, [])
    assert (found.totals.no_ip, found.totals.not_measured) == ({"ARP": 1}, {"IP protocol 46": 1, "TCP, cut off": 1})


def test_no_packets_at_all(tmp_path: Path) -> None:
    found = measured(tmp_path, [])
    assert (found.totals.packets, found.flows) == (0, [])
    assert json.loads("".join(found.as_json()))["flows"] == []


def test_flows_beyond_the_most_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows_module, "MOST_FLOWS", 10)
    frames = [ethernet(ip(CLIENT, SERVER, 17, udp((1000 + port, 6), b""))) for port in range(25) for _ in range(2)]
    found = measured(tmp_path, [(BASE + at, frame, len(frame)) for at, frame in enumerate(frames)])
    assert len(found.flows) == 10
    assert found.totals.further == 30


def test_too_many_windows_become_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "MOST_ROWS", 20)
    monkeypatch.setattr(tally_module, "_OPEN", 5)
    frame = ethernet(ip(CLIENT, SERVER, 17, udp((1, 6), b"")))
    found = measured(tmp_path, [(BASE + at * 10**9, frame, 100) for at in range(50)])
    (direction,) = only(found).directions
    assert found.window_s == 4
    assert [window.packets for window in direction.windows] == [4] * 12 + [2]
    assert [window.start_s for window in direction.windows] == [4.0 * at for at in range(13)]


def test_flows_whose_hashes_share_their_upper_bits_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    names = np.array([7 << 40 | 5, 7 << 40 | 9, 7 << 40 | 5, 3 << 40, 7 << 40 | 9] * 20, dtype=np.uint64)
    order = flows_module._by_flow(names)
    found = [(int(name), list(rows)) for name, rows in itertools.groupby(order, key=lambda row: int(names[row]))]
    assert [name for name, _ in found] == sorted({int(name) for name in names})
    assert all(rows == sorted(rows) and len(rows) in (20, 40) for _, rows in found)


@USUAL
@settings(deadline=None, max_examples=20)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),  # flow
            st.booleans(),  # side
            st.integers(0, 40),  # segment
            st.sampled_from([0, 100]),  # length
            st.integers(0, 40),  # acknowledged segment
            st.sampled_from([ACK, ACK, ACK, ACK, SYN, SYN | ACK, FIN | ACK, RST]),
            st.integers(-2_000_000, 30_000_000),  # ns since the one before
            st.sampled_from([0] * 8 + [10**9, 2 * 10**9, 3 * 10**9]),  # how far the numbers are astray
        ),
        min_size=1,
        max_size=120,
    ),
    st.integers(150, 3000),
)
def test_the_length_of_a_batch_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[int, bool, int, int, int, int, int, int]], size: int
) -> None:
    talks = [Conversation(port=40000 + number) for number in range(6)]
    now = 0.0
    packets: list[Packet] = []
    for flow, side, seq, length, ack, flags, since, astray in made:
        now += since / MS
        talk = talks[flow]
        stamps = (round(abs(now)) + 9, round(abs(now)) + 6) if flow % 2 else None
        (talk.client if side else talk.server)(now, 100 * seq + astray, 100 * ack + astray, length, flags, stamps)
        packets.append(talk.packets[-1])
        if length:
            packets.append(ping(now, 8 * side, seq % 3))
            rtp_frame = ethernet(
                ip(CLIENT, SERVER, 17, udp((5004, 5004), rtp(len(packets), 160 * len(packets), kind=96)))
            )
            packets.append((BASE + round(now * MS), rtp_frame, len(rtp_frame)))
    folder = tmp_path_factory.mktemp("batches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "CHUNK", 4 << 20)
        whole = "".join(measured(folder, packets, by_time=False).as_json())
        patch.setattr(reader, "CHUNK", size)
        assert "".join(measured(folder, packets, by_time=False).as_json()) == whole


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(classic(list(echoes({5}, 4)), nano=True))
    assert qos(path) == 0
    told = capsys.readouterr().out
    assert "199 packets" in told
    assert "1.00" in told or "1 %" in told
    assert qos(path, window="500ms", server=SERVER, json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["window_s"], len(found["flows"])) == (2, 0.5, 1)
    directions = found["flows"][0]["directions"]
    assert [(each["from"], each["to"]) for each in directions] == [
        (f"{CLIENT}:3", f"{SERVER}:3"),
        (f"{SERVER}:3", f"{CLIENT}:3"),
    ]
    assert directions[0]["loss_ratio"]["value"] == pytest.approx(0.01)
    assert len(directions[0]["windows"]) == 20


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_what_comes_through_a_pipe_has_figures_at_its_end(name: str) -> None:
    argv = [sys.executable, "-P", "-m", "migrascope", "qos", name]
    for whole in (classic(list(echoes({5}, 4)), nano=True), gzip.compress(classic(list(echoes({5}, 4)), nano=True))):
        assert "199 packets" in subprocess.run(argv, input=whole, stdout=subprocess.PIPE, check=True).stdout.decode()


def test_the_first_interrupt_ends_the_writer_of_a_pipe_and_the_second_one_the_reading() -> None:
    before = signal.getsignal(signal.SIGINT)
    with capturing._until_its_writer_ends(Path("-")):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [({"window": "1"}, "--window"), ({"window": "1ns"}, "--window"), ({"server": "example.org"}, "not an IP address")],
)
def test_a_wrong_option_is_said(tmp_path: Path, options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageProblem, match=words):
        qos(tmp_path / "any", **options)  # type: ignore[arg-type]
