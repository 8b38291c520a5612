"""What the segments and the MAC of an address show of a blackout."""

import pytest

from migrascope.model.observation import Target
from migrascope.study.observation.signs import Beside, Row, macs_of

S = 10**9
ACK, RST = 16, 4
OVER = (2 * S, 3 * S)
HEADING = "IP address       HW type     Flags       HW address            Mask     Device"


def target(unseen: str = "") -> Target:
    return Target(
        name="vm", address="192.0.2.1", way="icmp-raw", port=0, rate=50, why="", answers=True, clock_unseen=unseen
    )


def rows(paused_s: float, *, ttl_after: int = 63) -> list[Row]:
    moments = [*range(0, 2 * S + 1, S // 50), *range(3 * S, 4 * S, S // 50)]
    return [
        (1, ACK, (at - (round(paused_s * S) if at >= OVER[1] else 0)) // 10**6, 63 if at < OVER[1] else ttl_after, at)
        for at in moments
    ]


def test_a_guest_that_was_paused_and_kept_its_connection_moved() -> None:
    beside = Beside(target())
    beside.add(rows(0.4, ttl_after=62), None, 4 * S)
    shown = beside.shown(OVER)
    assert shown.step is not None
    assert shown.step.seconds == pytest.approx(0.4, abs=0.001)
    assert (shown.kept, shown.judgement.verdict) == (True, "moved")
    assert [(sign.kind, sign.mono_ns) for sign in shown.signs] == [("clock-stopped", OVER[1]), ("ttl", OVER[1])]


def test_a_network_that_was_cut_is_no_sign() -> None:
    beside = Beside(target())
    beside.add(rows(0), None, 4 * S)
    shown = beside.shown(OVER)
    assert (shown.step, shown.kept, shown.signs, shown.judgement.verdict) == (None, True, [], "no sign")
    assert "the clock was advanced on resume" in shown.unknown


def test_a_connection_that_was_reset_is_a_restart() -> None:
    beside = Beside(target())
    before = [row for row in rows(0) if row[-1] <= OVER[0]]
    beside.add([*before, (1, RST, -1, 63, 3 * S), (2, ACK, 5, 63, 3 * S + 1)], None, 4 * S)
    shown = beside.shown(OVER)
    assert (shown.kept, shown.judgement.verdict) == (False, "restarted")


def test_another_mac_is_a_sign_without_any_segment() -> None:
    beside = Beside(target("no right to see segments"))
    beside.add([], "52:54:00:00:00:01", S)
    assert beside.shown(OVER).judgement.verdict == "no sign"
    beside.add([], "52:54:00:00:00:02", 3 * S)
    assert beside.shown(OVER).judgement.verdict == "moved"
    assert beside.shown((5 * S, 6 * S)).judgement.verdict == "no sign"


def test_who_could_not_look_does_not_know() -> None:
    shown = Beside(target("no right to see segments")).shown(OVER)
    assert (shown.kept, shown.judgement.verdict) == (None, "unknown")
    assert shown.judgement.why.startswith("no right to see segments; it is not on this link")


def test_a_clock_that_cannot_be_compared_is_no_evidence_that_nothing_happened() -> None:
    beside = Beside(target())
    beside.add(rows(0)[:101], None, 4 * S)
    shown = beside.shown(OVER)
    assert (shown.kept, shown.judgement.verdict) == (None, "unknown")


def test_segments_are_forgotten_after_a_minute() -> None:
    beside = Beside(target())
    beside.add(rows(0.4), None, 4 * S)
    beside.add([], None, 70 * S)
    assert beside.shown(OVER).step is None


def test_neighbours_are_read() -> None:
    lines = [
        "192.0.2.1        0x1         0x2         52:54:00:00:00:01     *        eth0",
        "192.0.2.2        0x1         0x0         00:00:00:00:00:00     *        eth0",
        "what is no line",
    ]
    assert macs_of(lines) == {"192.0.2.1": "52:54:00:00:00:01"}
    assert macs_of([HEADING]) == {}
