"""TCP in captures with known truths: handshakes, round trips, what was sent again and what is missing."""

import struct
from pathlib import Path

import numpy as np
import pytest

from captures import ethernet, ip, tcp
from migrascope.qos.examine import examine
from talks import (
    ACK,
    BASE,
    CLIENT,
    FIN,
    MS,
    RST,
    SERVER,
    SYN,
    Conversation,
    handshake,
    measured,
    only,
    sent_by,
    written,
)


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


def test_a_bulk_stream_of_many_gib_loses_nothing(tmp_path: Path) -> None:
    """Its numbers move more than 2 GiB within one batch."""
    talk, size = Conversation(stamps=False), 65_000
    frame = ethernet(ip(SERVER, CLIENT, 6, tcp((80, talk.port), 0, 1, ACK)))
    packets = []
    for number in range(34_000):
        at = BASE + number * 20_000
        seq = struct.pack(">I", number * size & 0xFFFFFFFF)
        packets.append((at, frame[:16] + struct.pack(">H", 40 + size) + frame[18:38] + seq + frame[42:], 54 + size))
    server = only(examine(written(tmp_path, packets))).directions[0]
    assert server.counts["payload_bytes"] == 2_210_000_000
    assert [server.counts[name] for name in ("retransmitted", "out_of_order", "lost_segments")] == [0, 0, 0]


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
