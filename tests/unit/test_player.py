"""The stall curve from held segments: stall = hold less buffer."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrascope.metrics.player import Lateness, Viewer
from migrascope.store.recording import polars_schema

MS = 1_000_000
SECOND = 1000 * MS
SEGMENT = 2 * SECOND
CHUNKS = 5
BEFORE = (10 * SECOND, 20 * SECOND)
MIGRATION = (20 * SECOND, 30 * SECOND)


Row = tuple[Any, ...]
NONE: frozenset[int] = frozenset()


def rows(
    held: dict[int, int], never: frozenset[int] = NONE, middle: dict[int, int] | None = None
) -> tuple[list[Row], list[Row]]:
    """2 s segments asked for in real time from 0 s on; segment n is held for held[n] ns before its first byte, for
    middle[n] ns in its midst, or never comes."""
    segments: list[Row] = []
    arrivals: list[Row] = []
    free = 0
    for seq in range(20):
        asked = max(seq * SEGMENT, free)
        at = asked + 3 * MS + held.get(seq, 0)
        if seq in never:
            segments.append((seq, seq * 2.0, 2.0, asked, 0, 0, 0, "timeout"))
            continue
        for chunk in range(CHUNKS):
            arrivals.append((at, seq, 1000))
            at += (middle or {}).get(seq, 0) if chunk == 1 else MS
        free = at
        segments.append((seq, seq * 2.0, 2.0, asked, at, 5000, 200, ""))
    return segments, arrivals


def viewer_of(segments: Sequence[Row], arrivals: Sequence[Row]) -> Viewer:
    def frame(name: str, lines: Sequence[Row]) -> pl.DataFrame:
        schema = polars_schema(name)
        return pl.DataFrame([(*line, "viewer-1", "client", "i", "m") for line in lines], schema=schema, orient="row")

    return Viewer.of(frame("segment", segments), frame("arrival", arrivals))


def viewer(held: dict[int, int], never: frozenset[int] = NONE, middle: dict[int, int] | None = None) -> Viewer:
    return viewer_of(*rows(held, never, middle))


def lateness(seen: Viewer) -> Lateness:
    found = seen.lateness_s(BEFORE, MIGRATION)
    assert isinstance(found, Lateness)
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 8 * SECOND), st.integers(11, 13), st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0, 6.0]))
def test_stall_is_hold_less_buffer(hold: int, seq: int, buffer_s: float) -> None:
    seen = lateness(viewer({seq: hold}))
    assert seen.worst_s == pytest.approx(hold / 1e9, abs=1e-6)
    assert seen.stall_s(buffer_s) == pytest.approx(max(0.0, hold / 1e9 - buffer_s), abs=1e-6)
    assert seen.least_level_s(buffer_s) == pytest.approx(max(0.0, buffer_s - hold / 1e9), abs=1e-6)


def test_nothing_held_is_nothing_late() -> None:
    seen = lateness(viewer({}))
    assert seen.worst_s == pytest.approx(0, abs=1e-6)
    assert seen.least_level_s(0.5) == pytest.approx(0.5, abs=1e-6)


def test_a_hold_in_the_midst_counts_from_where_the_media_stop() -> None:
    """Two fifths of a 2 s segment had come: the rest is due 0.8 s later than its beginning."""
    seen = lateness(viewer({}, middle={12: 3 * SECOND}))
    assert seen.worst_s == pytest.approx(3.0 - 0.8 + 0.001, abs=1e-3)


def test_what_was_held_before_the_migration_does_not_count() -> None:
    assert lateness(viewer({7: 500 * MS})).worst_s == pytest.approx(0, abs=1e-6)


def test_a_segment_that_never_comes_keeps_the_player_until_the_next_one() -> None:
    assert lateness(viewer({}, never=frozenset({12}))).worst_s == pytest.approx(2.0, abs=1e-6)


def test_media_that_never_come_again_are_at_least_as_late_as_they_were_waited_for() -> None:
    """Segment 12 was due at 24 s: waited for until 30 s, or as long as the viewer was watched."""
    gone = viewer({}, never=frozenset(range(12, 20)))
    assert not lateness(gone).ended
    assert lateness(gone).worst_s == pytest.approx(6.0, abs=0.01)
    longer = gone.lateness_s(BEFORE, MIGRATION, 33 * SECOND)
    assert isinstance(longer, Lateness)
    assert longer.worst_s == pytest.approx(9.0, abs=0.01)


def test_without_before_there_is_no_reference() -> None:
    assert isinstance(viewer({}).lateness_s((-2, -1), MIGRATION), str)


def test_a_before_that_misses_every_segment_takes_the_last_one_before_it() -> None:
    seen = viewer({12: 700 * MS}).lateness_s((19 * SECOND, 20 * SECOND), MIGRATION)
    assert isinstance(seen, Lateness)
    assert seen.worst_s == pytest.approx(0.7, abs=1e-6)


def test_a_segment_that_broke_off_counts_when_it_came_whole() -> None:
    """Segment 12 breaks off at its third piece and is asked for again 1.4 s after it was first."""
    plain = rows({})
    broken = [row if row[0] != 12 else (12, 24.0, 2.0, row[3], 0, 2000, 200, "reset") for row in plain[0]]
    asked = 12 * SEGMENT + 1400 * MS
    segments = [*broken, (99, 24.0, 2.0, asked, asked + 8 * MS, 5000, 200, "")]
    arrivals = [row for row in plain[1] if row[1] != 12]
    arrivals += [(12 * SEGMENT + 3 * MS, 12, 1000), (12 * SEGMENT + 4 * MS, 12, 1000)]
    arrivals += [(asked + (3 + at) * MS, 99, 1000) for at in range(CHUNKS)]
    assert lateness(viewer_of(segments, arrivals)).worst_s == pytest.approx(1.4, abs=1e-6)
