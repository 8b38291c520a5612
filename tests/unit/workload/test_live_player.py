"""The live viewer and the stall of its player over outages of any length, in virtual time."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from players import viewer_of

from migrascope.metrics.player import Lateness
from migrascope.workload import hls, live

MS = 1_000_000
SECOND = 1000 * MS
SEGMENT_S = 0.5
LOOP = [live.LoopSegment(Path("x"), SEGMENT_S)] * 8
TRIP = 3 * MS
BEFORE = (10 * SECOND, 20 * SECOND)
END = 60 * SECOND
Row = tuple[Any, ...]


class Watched:
    """A player's requests to an origin that publishes every half second and answers nobody in the outage, at whose end
    it answers all that have waited."""

    def __init__(self, outage: tuple[int, int | None]) -> None:
        self.outage, self.time = outage, 0
        self.segments: list[Row] = []
        self.arrivals: list[Row] = []

    def now(self) -> int:
        return self.time

    async def due(self, due_ns: int) -> bool:
        self.time = max(self.time, due_ns)
        return self.time < END

    def _newest(self) -> int:
        return live.WINDOW + int(self.time / (SEGMENT_S * SECOND))

    def _answered(self) -> bool:
        """Whether what is asked for now is answered before the end, which is the time from then on."""
        begin, over = self.outage
        there = self.time + TRIP
        if there >= begin and over is None:
            self.time = END
            return False
        self.time = over + TRIP if over is not None and begin <= there < over else there
        return True

    async def text(self, url: str) -> str | None:
        assert url.endswith(".m3u8")
        return live.playlist(LOOP, self._newest()) if self._answered() else None

    async def media(self, url: str, start_s: float, duration_s: float) -> None:
        seq, asked = len(self.segments), self.time
        if not self._answered():
            self.segments.append((seq, start_s, duration_s, asked, 0, 0, 0, "not whole before the end"))
            return
        number = int(url.rpartition("seg")[2].partition(".")[0])
        if number <= self._newest() - 2 * live.WINDOW:
            self.segments.append((seq, start_s, duration_s, asked, 0, 0, 404, "status 404"))
            return
        self.arrivals.append((self.time, seq, 1000))
        self.segments.append((seq, start_s, duration_s, asked, self.time, 1000, 200, ""))


def watched(begin: int, length: int | None) -> Lateness:
    player = Watched((begin, begin + length if length is not None else None))
    asyncio.run(hls.watch_live(cast(Any, player), "http://origin/live/index.m3u8"))
    span = (20 * SECOND, (begin + length if length is not None else END) + 4 * SECOND)
    found = viewer_of(player.segments, player.arrivals).lateness_s(BEFORE, span)
    assert isinstance(found, Lateness)
    return found


begins = st.integers(20 * SECOND, 22 * SECOND)
lengths = st.integers(0, 30 * SECOND)


@pytest.mark.parametrize("length_s", [0.3, 1, 3, 8, 12, 25])
def test_a_player_stands_still_for_the_outage_less_its_buffer(length_s: float) -> None:
    """The media that were due in the outage come at its end, or, beyond the window of 5 s, others do."""
    for at in range(5):
        seen = watched(20 * SECOND + at * 130 * MS, round(length_s * SECOND))
        assert length_s - 0.5 <= seen.worst_s <= length_s + 0.05
        assert seen.stall_s(0.5) == pytest.approx(max(0.0, length_s - 0.75), abs=0.3)


@settings(max_examples=40, deadline=None)
@given(begins, lengths, st.one_of(st.none(), lengths))
def test_a_longer_outage_never_shortens_the_stall(begin: int, short: int, longer: int | None) -> None:
    if longer is not None:
        short, longer = sorted((short, longer))
    less, more = watched(begin, short), watched(begin, longer)
    for buffer_s in (0.0, 0.5, 2.0):
        assert more.stall_s(buffer_s) >= less.stall_s(buffer_s) - 0.01
    assert more.ended == (longer is not None)


def test_what_was_skipped_is_no_media_time_in_older_recordings_either() -> None:
    """They advanced by the target duration, 1 s, for each segment of 0.5 s that was missed."""
    segments, arrivals = [], []
    place, at = 0.0, 0
    for seq in range(60):
        if seq == 44:
            place, at = place + 16 * 1.0, at + 8 * SECOND
        asked = at
        segments.append((seq, place, SEGMENT_S, asked, asked + TRIP, 1000, 200, ""))
        arrivals.append((asked + TRIP, seq, 1000))
        place, at = place + SEGMENT_S, at + round(SEGMENT_S * SECOND)
    found = viewer_of(segments, arrivals).lateness_s(BEFORE, (20 * SECOND, 36 * SECOND))
    assert isinstance(found, Lateness)
    assert found.worst_s == pytest.approx(8.0, abs=1e-6)
