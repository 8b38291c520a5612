"""Echoes in captures with known truths: each request has its own reply, or is lost."""

from pathlib import Path

import pytest

from talks import CLIENT, echoes, measured, only, ping, sent_by


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
