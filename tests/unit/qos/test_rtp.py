"""RTP in captures with known truths: losses by number, jitter, several sources."""

from pathlib import Path

import pytest

from captures import ethernet, ip, rtp, udp
from talks import BASE, CLIENT, MS, SERVER, measured, only, stream


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
