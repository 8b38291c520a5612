"""The stall curve from held segments: stall = hold less buffer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from players import BEFORE, CHUNKS, MIGRATION, MS, SECOND, SEGMENT, lateness, rows, viewer, viewer_of

from migrascope.metrics.player import Lateness


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
