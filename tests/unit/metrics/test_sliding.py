"""Silences as they happen: the same as those that the whole recording shows, and none of our own making."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrascope.metrics.gaps import Silences
from migrascope.metrics.packets import Packets
from migrascope.metrics.sliding import ANSWERED, LATE, LOST, NOTHING, Outage, Sliding
from migrascope.model.steady import OUTAGE_FACTOR

MS, S = 10**6, 10**9
RATE = 100
INTERVAL = S // RATE
RTT = MS
SETTLE_S = 0.5
Rows = list[tuple[int, int]]


def echoed(seconds: float, cuts: Sequence[tuple[int, int]] = (), held: bool = False) -> tuple[Rows, Rows]:
    """Probes and replies of a service that is cut off in spans: probes in one are lost, or held back to its end."""
    sent = [(seq, S + seq * INTERVAL) for seq in range(round(seconds * RATE))]
    replies = []
    for seq, at in sent:
        cut = next((cut for cut in cuts if cut[0] <= at < cut[1]), None)
        if cut is None:
            replies.append((seq, at + RTT))
        elif held:
            replies.append((seq, cut[1] + RTT))
    return sent, replies


def recorded(sent: Rows, replies: Rows) -> Silences:
    """What the whole recording shows."""
    probes, came = np.array(sent), np.array(replies)
    return Silences(Packets.match(probes[:, 0], probes[:, 1], came[:, 0], came[:, 1], sent[-1][1]))


def polled(window: Sliding, sent: Rows, replies: Rows, every: int = S // 5) -> list[Outage]:
    """What is told by the end, when the window is fed and asked `every` so many ns."""
    found: list[Outage] = []
    replies = sorted(replies, key=lambda row: row[1])
    at = to = 0
    for now in range(sent[0][1], sent[-1][1] + 2 * S, every):
        first, from_reply = at, to
        while at < len(sent) and sent[at][1] <= now:
            at += 1
        while to < len(replies) and replies[to][1] <= now:
            to += 1
        window.add(sent[first:at], replies[from_reply:to])
        found += window.look(now)[0]
    return found


@pytest.mark.parametrize("held", [False, True])
def test_a_silence_is_told_once_with_the_length_that_the_recording_shows(held: bool) -> None:
    cut = 12 * S + 3 * MS, 12 * S + 303 * MS
    sent, replies = echoed(20, [cut], held)
    (outage,) = polled(Sliding(RATE, SETTLE_S), sent, replies)
    whole = recorded(sent, replies).overlapping(cut)
    assert outage.gap == whole
    assert not outage.owned
    assert outage.gap.late == held
    assert outage.lost == (0 if held else 30)
    assert outage.gap.low_s <= 0.3 <= outage.gap.gap_s


@given(cuts=st.lists(st.tuples(st.integers(5000, 18000), st.integers(5, 1000)), max_size=3), held=st.booleans())
def test_looking_often_tells_what_looking_once_does(cuts: list[tuple[int, int]], held: bool) -> None:
    """Although most looks are at the last probes alone."""
    sent, replies = echoed(20, [(at * MS, (at + length) * MS) for at, length in cuts], held)
    once = Sliding(RATE, SETTLE_S)
    once.add(sent, replies)
    whole = once.look(sent[-1][1] + 2 * S)[0]
    assert [outage.gap for outage in polled(Sliding(RATE, SETTLE_S), sent, replies)] == [outage.gap for outage in whole]


def test_a_single_lost_probe_is_no_outage() -> None:
    sent, replies = echoed(20, [(12 * S, 12 * S + INTERVAL)])
    assert len(replies) == len(sent) - 1
    assert polled(Sliding(RATE, SETTLE_S), sent, replies) == []


def test_what_the_prober_slept_is_its_own_and_no_outage_of_the_address() -> None:
    sent, _ = echoed(20)
    woke = 12 * S + 400 * MS
    sent = [(seq, woke if 12 * S < at < woke else at) for seq, at in sent]
    (outage,) = polled(Sliding(RATE, SETTLE_S), sent, [(seq, at + RTT) for seq, at in sent])
    assert outage.owned
    assert outage.own_s == pytest.approx(0.4 - INTERVAL / S, abs=INTERVAL / S)


def test_an_outage_in_which_the_prober_slept_for_a_while_is_one() -> None:
    sent, replies = echoed(20, [(12 * S, 14 * S)])
    woke = 12 * S + 400 * MS
    sent = [(seq, woke if 12 * S < at < woke else at) for seq, at in sent]
    (outage,) = polled(Sliding(RATE, SETTLE_S), sent, replies)
    assert not outage.owned
    assert outage.lost == 200


def test_a_silence_where_the_wall_clock_stepped_is_no_outage() -> None:
    sent, replies = echoed(20, [(12 * S, 12 * S + 200 * MS)])
    window = Sliding(RATE, SETTLE_S)
    window.doubt((12 * S + 100 * MS, 12 * S + 150 * MS))
    (outage,) = polled(window, sent, replies)
    assert outage.owned


def test_a_silence_that_goes_on_is_told_once_and_again_when_it_is_over() -> None:
    sent, replies = echoed(30, [(12 * S, 20 * S)])
    window = Sliding(RATE, SETTLE_S)
    window.add([row for row in sent if row[1] < 15 * S], [row for row in replies if row[1] < 15 * S])
    over, first = window.look(15 * S)
    assert over == []
    assert first is not None
    assert not first.gap.ended
    assert window.look(15 * S) == ([], None)
    assert window.unended(15 * S) is not None
    window.add([row for row in sent if row[1] >= 15 * S], [row for row in replies if row[1] >= 15 * S])
    (outage,), ongoing = window.look(31 * S)
    assert ongoing is None
    assert outage.gap.start_ns == first.gap.start_ns
    assert outage.gap.ended
    assert window.unended(31 * S) is None


def test_a_prober_that_stands_still_shows_no_silence_that_goes_on() -> None:
    window = Sliding(RATE, SETTLE_S)
    window.add(*echoed(10))
    assert window.unended(60 * S) is None


def test_hours_take_no_more_memory_than_minutes_and_nothing_is_forgotten() -> None:
    window = Sliding(10, SETTLE_S)
    size = window._sent.nbytes
    cut = 4000 * S, 5000 * S
    found: list[Outage] = []
    for second in range(1, 7200):
        sent = [(10 * (second - 1) + at, second * S + at * S // 10) for at in range(10)]
        window.add(sent, [(seq, at + RTT) for seq, at in sent if not cut[0] <= at < cut[1]])
        found += window.look(second * S + S)[0]
    assert window._sent.nbytes == size
    (outage,) = found
    assert outage.lost == 10_000
    assert outage.gap.low_s <= 1000 <= outage.gap.gap_s
    tally = window.tally(7300 * S)
    assert (tally.sent, tally.answered, tally.lost) == (71_990, 61_990, 10_000)
    assert tally.rtt_max_s == RTT / S


def test_an_outage_just_before_the_end_is_told_when_all_is_known() -> None:
    sent, replies = echoed(5, [(5 * S, 5 * S + 700 * MS)])
    now = sent[-1][1] + 2 * RTT
    window = Sliding(RATE, SETTLE_S)
    window.add(sent, replies)
    assert window.look(now) == ([], None)
    window.finish()
    (outage,), _ = window.look(now)
    assert outage.gap.ended
    assert window.unended(now) is None


def test_replies_may_be_read_before_their_probes() -> None:
    sent, replies = echoed(5)
    window = Sliding(RATE, SETTLE_S)
    window.add([], replies)
    window.add(sent, [])
    assert window.tally(20 * S).answered == len(sent)


def test_the_ribbon_shows_the_worst_of_each_cell() -> None:
    sent, replies = echoed(30, [(12 * S, 14 * S)])
    replies = [(seq, at + (500 * MS if 20 * S <= at < 21 * S else 0)) for seq, at in replies]
    window = Sliding(RATE, SETTLE_S)
    window.add(sent, replies)
    ribbon = window.ribbon(31 * S, 60)
    assert len(ribbon) == 60
    by_second = dict(zip(range(31 - 59, 32), ribbon, strict=True))
    assert by_second[0] == NOTHING
    assert [by_second[second] for second in (5, 12, 13, 14, 20, 25)] == [ANSWERED, LOST, LOST, ANSWERED, LATE, ANSWERED]


@given(
    cuts=st.lists(st.tuples(st.integers(3 * S, 15 * S), st.integers(MS, 2 * S)), max_size=4),
    held=st.booleans(),
    every=st.integers(S // 4, S),
)
@settings(max_examples=30)
def test_whatever_happens_it_is_what_the_whole_recording_shows(
    cuts: list[tuple[int, int]], held: bool, every: int
) -> None:
    sent, replies = echoed(18, [(at, at + length) for at, length in sorted(cuts)], held)
    silences = recorded(sent, replies)
    wanted = []
    for gap in silences.over(OUTAGE_FACTOR * INTERVAL, (0, 100 * S)):
        usual = silences.p99_ns((0, gap.start_ns)) or 0.0
        if gap.ended and gap.gap_s * S > OUTAGE_FACTOR * max(usual, INTERVAL):
            wanted.append((gap.start_ns, gap.end_ns))
    found = polled(Sliding(RATE, SETTLE_S), sent, replies, every)
    assert [(outage.gap.start_ns, outage.gap.end_ns) for outage in found] == wanted
    assert not any(outage.owned for outage in found)


def test_nothing_is_told_of_nothing() -> None:
    window = Sliding(RATE, SETTLE_S)
    assert window.look(S) == ([], None)
    assert window.unended(S) is None
    assert window.tally(S).sent == 0
    assert np.array_equal(window.ribbon(S, 10), [NOTHING] * 10)
