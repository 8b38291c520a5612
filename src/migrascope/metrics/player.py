"""Player stall: how long a player with so much buffer would have stood still, from arrivals of media.

The model is a player in steady state: its buffer is full and it asks at the pace at which it plays. Media time m is
late by its arrival less m less the same difference of *before* (the median over its segments). A player whose buffer
holds B seconds stands still for max(0, worst lateness - B). Media time is what a player plays: what left a live
playlist before it was asked for is never played, and takes no time of it.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from migrascope.metrics.packets import NS, Span
from migrascope.metrics.rank import at_rank
from migrascope.metrics.windows import Windows
from migrascope.model.family import FIRST
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "arrival"
_ROUNDING_S = 0.001
BUFFERS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 6.0)


@dataclass(frozen=True)
class Viewer:
    """What one viewer received, in order of media time: each stretch of media with its start (s, without what was
    skipped), when it was asked for and when it arrived (mono ns; -1 where it never did). end_s, last_s: where the media
    end that were asked for, and how long the last stretch of them is."""

    media_s: np.ndarray[tuple[int], np.dtype[np.float64]]
    asked_ns: np.ndarray[tuple[int], np.dtype[np.int64]]
    arrived_ns: np.ndarray[tuple[int], np.dtype[np.int64]]
    first: np.ndarray[tuple[int], np.dtype[np.bool_]]
    end_s: float
    last_s: float

    @classmethod
    def of(cls, segments: pl.DataFrame, arrivals: pl.DataFrame) -> "Viewer":
        """From one viewer's rows of `segment` and `arrival`. A stretch asked for several times counts from its first
        asking, and as it came in the first attempt that brought it whole: a player drops what broke off."""
        pieces = arrivals.sort("seq", "mono_ns").select(
            "seq",
            "mono_ns",
            part=(pl.col("bytes").cum_sum() - pl.col("bytes")).over("seq") / pl.col("bytes").sum().over("seq"),
        )
        whole = (pl.col("error") == "") & (pl.col("done_ns") > 0)
        attempts = (
            segments.with_columns(first_asked=pl.col("asked_ns").min().over("media_start_s"), broke=~whole)
            .sort("media_start_s", "broke", "seq")
            .unique("media_start_s", keep="first", maintain_order=True)
            .with_columns(media_start_s=pl.col("media_start_s") - _skipped())
        )
        joined = (
            attempts.join(pieces, on="seq", how="left")
            .with_columns(
                mono_ns=pl.when(pl.col("broke")).then(None).otherwise(pl.col("mono_ns")).fill_null(-1),
                media_s=pl.col("media_start_s") + pl.col("media_duration_s") * pl.col("part").fill_null(0.0),
            )
            .sort("media_s", maintain_order=True)
        )
        return cls(
            joined["media_s"].to_numpy(),
            joined["first_asked"].to_numpy(),
            joined["mono_ns"].to_numpy(),
            (joined["media_s"] == joined["media_start_s"]).to_numpy(),
            float(attempts["media_start_s"][-1] + attempts["media_duration_s"][-1]) if attempts.height else 0.0,
            float(attempts["media_duration_s"][-1]) if attempts.height else 0.0,
        )

    def reference_ns(self, before: Span) -> tuple[float, float] | None:
        """Arrival less media time of a segment in steady state: the median over those asked for in before (mono ns),
        which a short one may just miss: then of the last one before its end; and the 95th percentile of how far they
        are from it. None where there is none."""
        known = np.flatnonzero((self.arrived_ns >= 0) & self.first & (self.asked_ns < before[1]))
        if not len(known):
            return None
        quiet = known[self.asked_ns[known] >= before[0]]
        chosen = quiet if len(quiet) else known[-1:]
        apart = (self.arrived_ns - self.media_s * NS)[chosen]
        middle = float(np.median(apart))
        return middle, at_rank(np.abs(apart - middle), 95)

    def lateness_s(self, before: Span, span: Span, seen_ns: int | None = None) -> "Lateness | str":
        """How late the media were that were due, or came, in the span (mono ns), against what was asked for in before;
        the reason where that cannot be said. seen_ns: until when they were waited for, by default until the span's
        end: what never came is at least so late."""
        if not len(self.media_s):
            return "the viewer asked for nothing"
        known = self.reference_ns(before)
        if known is None:
            return "no media came in before to compare with"
        reference, uneven_s = known[0], known[1] / NS
        never = np.iinfo(np.int64).max
        due, arrived = self.media_s * NS + reference, _or_next(self.arrived_ns)
        touched = (due < span[1]) & (np.maximum(due, arrived) >= span[0])
        unasked_s = self._unasked_s(reference, seen_ns or span[1])
        if not touched.any():
            none = "no media were due in the time of the migration"
            return none if unasked_s is None else Lateness(unasked_s, 1, ended=False, uneven_s=uneven_s)
        ended = not (arrived[touched] == never).any()
        came = np.where(arrived == never, max(seen_ns or span[1], int(self.arrived_ns.max())), arrived)
        found = Lateness(float((came - due)[touched].max()) / NS, int(touched.sum()), ended, uneven_s)
        if unasked_s is None or unasked_s <= found.worst_s:
            return found
        return replace(found, worst_s=unasked_s, ended=False)

    def _unasked_s(self, reference_ns: float, seen_ns: int) -> float | None:
        """How late the media are, s, that follow the last ones that were asked for; None where they may yet come in
        time for a player. A live viewer cannot ask for what its playlist, held back too, has not listed."""
        late_s = (seen_ns - reference_ns) / NS - self.end_s
        return late_s if late_s > self.last_s else None


@dataclass(frozen=True)
class Lateness:
    """The worst lateness of media, s, and over how many stretches of media. ended: whether all of them came; without
    that it is a lower bound. uneven_s: by how much arrivals before differ from the one that it is held against, the
    95th percentile."""

    worst_s: float
    samples: int
    ended: bool = True
    uneven_s: float = 0.0

    def stall_s(self, buffer_s: float) -> float:
        """How long a player with that buffer would have stood still."""
        return max(0.0, self.worst_s - buffer_s)

    def least_level_s(self, buffer_s: float) -> float:
        """The least that such a player's buffer held."""
        return min(buffer_s, max(0.0, buffer_s - self.worst_s))


def _skipped() -> pl.Expr:
    """How much of the film until each stretch, in the order of media time, nobody ever asked for, s."""
    begins, over = pl.col("media_start_s"), pl.col("media_start_s") + pl.col("media_duration_s")
    apart = (begins - over.cum_max().shift(1)).fill_null(0.0)
    return pl.when(apart > _ROUNDING_S).then(apart).otherwise(0.0).cum_sum()


def _or_next(arrived: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Arrivals, with that of the next media that did come where some never came: so long a player waits or skips."""
    never = np.iinfo(np.int64).max
    known = np.where(arrived >= 0, arrived, never)
    upcoming = np.minimum.accumulate(known[::-1])[::-1]
    return np.asarray(np.where(arrived >= 0, arrived, upcoming), dtype=np.int64)


def viewers(recording: Recording) -> dict[str, Viewer]:
    """Every viewer of the trial by its source's name."""
    segments, arrivals = recording.table("segment"), recording.table("arrival")
    return {
        name: Viewer.of(segments.filter(pl.col("source") == name), arrivals.filter(pl.col("source") == name))
        for name in segments["source"].unique().sort().to_list()
    }


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """player_stall_s at the plan's buffer, player_stall_s.B of the stall curve, player_least_buffer_s, and
    player_lateness_s, all of the viewer that fared worst."""
    found = _worst(recording, windows)
    keys = ["player_stall_s", "player_least_buffer_s", "player_lateness_s"]
    curve = {f"player_stall_s.{buffer_s:g}": buffer_s for buffer_s in BUFFERS_S}
    if isinstance(found, str):
        return {key: missing("s", SOURCE, found) for key in [*keys, *curve]}
    visitors = recording.trial.plan["visitors"]
    stored = recording.trial.factors.scenario == "offline"
    buffer_s = float(visitors["file_buffer" if stored else "live_buffer"])
    values = {
        "player_stall_s": found.stall_s(buffer_s),
        "player_least_buffer_s": found.least_level_s(buffer_s),
        "player_lateness_s": found.worst_s,
        **{key: found.stall_s(buffer) for key, buffer in curve.items()},
    }
    measured = {
        key: Measured(value, "s", SOURCE, samples=found.samples)
        .within(scatter=found.uneven_s)
        .censored(not found.ended)
        for key, value in values.items()
    }
    if not found.ended:
        # Because a level is bounded from above by what was seen, unlike the others: only an empty buffer is exact.
        level = measured["player_least_buffer_s"]
        empty = replace(level, at_least=False)
        never = missing("s", SOURCE, "media never came again, and the buffer had not run dry when recording ended")
        measured["player_least_buffer_s"] = never if level.value else empty
    return measured


def _worst(recording: Recording, windows: Windows) -> Lateness | str:
    if recording.trial.factors.scenario == "none":
        return "the page of this scenario holds no video"
    if recording.trial.factors.scenario == "online" and recording.family != FIRST:
        return "the video of this scenario comes from outside, over IPv4 alone"
    if windows.before is None or windows.during is None:
        return "the trial has no window before or during"
    until = max(windows.during[1], windows.switchover[1] if windows.switchover else 0)
    watched = windows.after[1] if windows.after else windows.during[1]
    span = (windows.during[0], until)
    seen = [viewer.lateness_s(windows.before, span, watched) for viewer in viewers(recording).values()]
    reasons = [reason for reason in seen if isinstance(reason, str)]
    if not seen or reasons:
        return reasons[0] if reasons else "no viewer recorded anything"
    late = [lateness for lateness in seen if isinstance(lateness, Lateness)]
    return replace(max(late, key=lambda lateness: lateness.worst_s), ended=all(lateness.ended for lateness in late))
