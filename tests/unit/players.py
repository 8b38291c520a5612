"""Viewers from segments and arrivals that are written down."""

from collections.abc import Sequence
from typing import Any

import polars as pl

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
