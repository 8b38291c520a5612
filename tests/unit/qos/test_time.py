"""Windows and clocks: of any length, and stepping back."""

from pathlib import Path

import pytest

from captures import Packet, ethernet, ip, udp
from migrascope.qos import tally as tally_module
from talks import BASE, CLIENT, MS, SERVER, Conversation, handshake, measured, only, sent_by


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


def test_too_many_windows_become_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "MOST_ROWS", 20)
    monkeypatch.setattr(tally_module, "_OPEN", 5)
    frame = ethernet(ip(CLIENT, SERVER, 17, udp((1, 6), b"")))
    found = measured(tmp_path, [(BASE + at * 10**9, frame, 100) for at in range(50)])
    (direction,) = only(found).directions
    assert found.window_s == 4
    assert [window.packets for window in direction.windows] == [4] * 12 + [2]
    assert [window.start_s for window in direction.windows] == [4.0 * at for at in range(13)]
