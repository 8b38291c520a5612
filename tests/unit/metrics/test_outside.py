"""What the segments of a kept connection say over a blackout, and why they say nothing."""

import numpy as np
import pytest

from migrascope.metrics.outside import of_segments
from migrascope.metrics.packets import Ints
from migrascope.metrics.peer_clock import Unknown

S = 10**9
ACK, RST, SYN = 16, 4, 18
OVER = (2 * S, 3 * S)


def segments(paused_s: float = 0.4) -> tuple[Ints, Ints, Ints, Ints]:
    """Two seconds of segments before and after a blackout: connection, flags, tsval, arrived."""
    arrived = np.array([*range(0, 2 * S + 1, S // 50), *range(3 * S, 5 * S, S // 50)], dtype=np.int64)
    stamps = (arrived - np.where(arrived >= 3 * S, round(paused_s * S), 0)) // 10**6 + 77
    return np.ones_like(arrived), np.full_like(arrived, ACK), stamps, arrived


def test_the_pause_is_the_step_of_the_clock() -> None:
    assert of_segments(*segments(), OVER).seconds == pytest.approx(0.4, abs=0.001)


def test_the_segments_without_stamps_are_left_out() -> None:
    connection, flags, tsval, arrived = segments()
    tsval[::3] = -1
    assert of_segments(connection, flags, tsval, arrived, OVER).seconds == pytest.approx(0.4, abs=0.001)


def test_a_peer_without_stamps() -> None:
    connection, flags, tsval, arrived = segments()
    with pytest.raises(Unknown, match="the peer sends no time stamps"):
        of_segments(connection, flags, np.full_like(tsval, -1), arrived, OVER)
    with pytest.raises(Unknown, match="the connection was refused"):
        of_segments(connection, np.full_like(flags, RST | ACK), np.full_like(tsval, -1), arrived, OVER)


def test_a_connection_that_was_reset_in_the_blackout() -> None:
    connection, flags, tsval, arrived = segments()
    first = int(np.argmax(arrived >= 3 * S))
    flags[first], tsval[first] = RST, -1
    connection[first + 1 :] = 2
    with pytest.raises(Unknown, match="the connection was reset"):
        of_segments(connection, flags, tsval, arrived, OVER)


def test_a_connection_that_the_peer_closed_is_not_called_reset() -> None:
    connection, flags, tsval, arrived = segments()
    connection[arrived >= 3 * S] = 2
    with pytest.raises(Unknown, match="the connection ended"):
        of_segments(connection, flags, tsval, arrived, OVER)
