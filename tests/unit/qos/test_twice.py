"""Packets that a capture holds twice, and what a sender really sent twice."""

from pathlib import Path

from talks import CLIENT, SERVER, Conversation, answered, echoes, handshake, measured, only, sent_by, stream


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
