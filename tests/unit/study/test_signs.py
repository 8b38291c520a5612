"""What is kept of an address beside its probes."""

from migrascope.metrics.signs import OnLink
from migrascope.study.observation.signs import Beside

S = 10**9
OVER = (2 * S, 3 * S)
MAC = "52:54:00:00:00:01"


def test_segments_are_forgotten_after_a_minute() -> None:
    beside = Beside("")
    moments = [*range(0, 2 * S + 1, S // 50), *range(3 * S, 4 * S, S // 50)]
    beside.add([(1, 16, (at - (S // 2 if at >= OVER[1] else 0)) // 10**6, 63, at) for at in moments], [], 4 * S)
    assert beside.shown(OVER).step is not None
    beside.add([], [], 70 * S)
    assert beside.shown(OVER).step is None


def test_many_announcements_do_not_take_the_macs_away() -> None:
    beside = Beside("no right")
    beside.add([], [OnLink("table", MAC, "", S)], S)
    beside.add([], [OnLink("garp", MAC, "", S + at) for at in range(1000)], 2 * S)
    assert beside.shown(OVER).judgement.verdict == "no sign"
