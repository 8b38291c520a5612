"""HTTP blackout: how long visitors were not answered in time, from open-loop visits."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from migrascope.metrics.packets import NS, Bools, Ints, Span, inside
from migrascope.metrics.rank import at_rank
from migrascope.metrics.windows import SECOND, Windows
from migrascope.model.load import NOT_SERVED
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "visit"
KINDS = ("new", "kept")
LEAST_LATE_NS = 100_000_000


@dataclass(frozen=True)
class Visits:
    """Visits of one kind by due time. done_ns is 0 where no answer came whole. refused: those of the failed that were
    not made, because the guest had too many in its hands."""

    due_ns: Ints
    done_ns: Ints
    failed: Bools
    refused: Bools

    @classmethod
    def of(cls, table: pl.DataFrame, kind: str) -> "Visits":
        """The visits of that kind from a `visit` table."""
        rows = table.filter(pl.col("kind") == kind).sort("due_ns")
        failed = (rows["error"] != "").to_numpy() | (rows["done_ns"] == 0).to_numpy()
        refused = rows["error"].str.starts_with(NOT_SERVED).to_numpy()
        return cls(rows["due_ns"].to_numpy(), rows["done_ns"].to_numpy(), failed, refused)

    def __len__(self) -> int:
        return len(self.due_ns)

    def late_after_ns(self, before: Span) -> float:
        """Later than this is late: 100 ms, or three times the p99 of the answers to visits due in the span."""
        chosen = inside(self.due_ns, before) & ~self.failed
        took = (self.done_ns - self.due_ns)[chosen]
        return max(LEAST_LATE_NS, 3 * at_rank(took, 99)) if len(took) else float(LEAST_LATE_NS)

    def late(self, late_after_ns: float) -> Bools:
        """Those that were answered, but late."""
        return np.asarray(~self.failed & (self.done_ns - self.due_ns > late_after_ns), dtype=np.bool_)


@dataclass(frozen=True)
class Blackout:
    """A stretch of failed and late visits: from the due time of its first to that of the first visit from which 1 s is
    in time, mono ns; both 0 where every visit was in time. ended: whether such a second was seen; without one the
    blackout lasts at least until the visit after the last bad one was due. worst_s: the longest wait of a visit, due ->
    done, None where no visit was due around; failed, late: how many, of those around."""

    start_ns: int
    end_ns: int
    ended: bool
    failed: int
    late: int
    worst_s: float | None

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / NS


def blackout(visits: Visits, late_after_ns: float, span: Span, stop: Span | None = None) -> Blackout:
    """The blackout that overlaps the span (the switchover, or a known hold), and the worst visit and the counts of
    those failed and late among the visits that overlap it. Of several stretches it is the longest of those at the stop
    (when the VM stood still); without a stop, or none at it, the longest of all.

    A visit that failed waited at least until the next one after it that was served was done. One that was refused is
    not bad where that was in time: had it been made, nobody knows that it would have been late.
    """
    late = visits.late(late_after_ns)
    waited = _served(visits) - visits.due_ns
    bad = late | (visits.failed & ~(visits.refused & (waited <= late_after_ns)))
    ends = np.maximum(visits.done_ns, visits.due_ns + np.where(visits.failed, round(late_after_ns), 0))
    overlaps = (visits.due_ns < span[1]) & (ends >= span[0])
    worst = float(waited[overlaps].max()) / NS if overlaps.any() else None
    failed_count, late_count = int((overlaps & visits.failed).sum()), int((overlaps & late).sum())
    stretches = _stretches(visits.due_ns, ends, bad, overlaps)
    at_stop = [
        stretch for stretch in stretches if stop is not None and stretch.due_ns < stop[1] and stretch.over_ns >= stop[0]
    ]
    chosen = max(
        at_stop or stretches, key=lambda stretch: stretch.end_ns - stretch.due_ns, default=_Stretch(0, 0, 0, True)
    )
    return Blackout(chosen.due_ns, chosen.end_ns, chosen.ended, failed_count, late_count, worst)


def _served(visits: Visits) -> Ints:
    """When each visit was done, mono ns; of one that failed, when the next one that was served was done, or the last
    that was seen of any."""
    seen = max(int(visits.done_ns.max()), int(visits.due_ns.max())) if len(visits) else 0
    done = np.where(visits.failed, seen, visits.done_ns)
    following = np.minimum.accumulate(done[::-1])[::-1]
    return np.asarray(np.where(visits.failed, np.maximum(following, visits.due_ns), visits.done_ns), dtype=np.int64)


@dataclass(frozen=True)
class _Stretch:
    """due_ns: when its first visit was due; over_ns: when its last bad visit was over; end_ns, ended: of Blackout."""

    due_ns: int
    over_ns: int
    end_ns: int
    ended: bool


def _stretches(due: Ints, over: Ints, bad: Bools, overlaps: Bools) -> list[_Stretch]:
    """Every stretch with a bad visit among those that overlap."""
    worst = np.flatnonzero(bad)
    spacing = round(float(np.median(np.diff(due)))) if len(due) > 1 else 0
    following = np.searchsorted(worst, np.arange(len(due)))
    next_bad = np.append(due[worst], np.iinfo(np.int64).max)[following]
    good = np.flatnonzero(~bad & (next_bad >= due + SECOND) & (due + SECOND <= due[-1] + spacing))
    found: list[_Stretch] = []
    at = 0
    while at < len(worst):
        first = int(worst[at])
        place = int(np.searchsorted(good, first))
        end = int(good[place]) if place < len(good) else len(due)
        beyond = int(np.searchsorted(worst, end))
        last = int(worst[beyond - 1])
        if overlaps[worst[at:beyond]].any():
            ended = end < len(due)
            until = int(due[end]) if ended else int(due[last + 1]) if last + 1 < len(due) else int(due[last]) + spacing
            found.append(_Stretch(int(due[first]), int(over[worst[at:beyond]].max()), until, ended))
        at = beyond
    return found


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """http_new_blackout_s, http_kept_blackout_s, and beside each its worst visit, counts of failed and late, and when a
    visit is late."""
    table = recording.table("visit")
    found: dict[str, Measured] = {}
    for kind in KINDS:
        visits = Visits.of(table, kind)
        if windows.before is None or windows.switchover is None or not len(visits):
            why = "no visits of this kind" if not len(visits) else "the trial has no switchover or no before"
            found |= {key: missing(unit, SOURCE, why) for key, unit in _keys(kind).items()}
            continue
        late_after = visits.late_after_ns(windows.before)
        stop = (windows.stop, (windows.resume or windows.stop) + 1) if windows.stop is not None else None
        found |= _kind(kind, visits, late_after, blackout(visits, late_after, windows.switchover, stop))
    return found


def _keys(kind: str) -> dict[str, str]:
    return {
        f"http_{kind}_blackout_s": "s",
        f"http_{kind}_worst_s": "s",
        f"http_{kind}_failed": "1",
        f"http_{kind}_late": "1",
        f"http_{kind}_late_after_s": "s",
    }


def _kind(kind: str, visits: Visits, late_after_ns: float, seen: Blackout) -> dict[str, Measured]:
    blackout_key, worst_key, failed_key, late_key, late_after_key = _keys(kind)
    spacing = float(np.median(np.diff(visits.due_ns))) / NS if len(visits) > 1 else None
    found = {
        failed_key: Measured(seen.failed, "1", SOURCE, samples=len(visits)),
        late_key: Measured(seen.late, "1", SOURCE, samples=len(visits)),
        late_after_key: Measured(late_after_ns / NS, "s", SOURCE, samples=len(visits)),
        worst_key: missing("s", SOURCE, "no visit was due around the switchover"),
    }
    if seen.worst_s is not None:
        found[worst_key] = Measured(seen.worst_s, "s", SOURCE, samples=len(visits)).censored(seen.failed > 0)
    why = _untold(late_after_ns, seen)
    if why is not None:
        found[blackout_key] = missing("s", SOURCE, why)
    else:
        value = Measured(seen.seconds, "s", SOURCE, samples=len(visits)).within(resolution=spacing)
        found[blackout_key] = value.censored(not seen.ended)
    return found


def _untold(late_after_ns: float, seen: Blackout) -> str | None:
    """Why a blackout of nothing is none: nobody came, or somebody waited over 100 ms whom the load before excuses."""
    if seen.seconds != 0:
        return None
    if seen.worst_s is None:
        return "no visit was due around the switchover"
    if seen.worst_s * NS <= LEAST_LATE_NS:
        return None
    return (
        f"a visit around the switchover took {seen.worst_s:.2f} s, but before the migration they were so slow that "
        f"only over {late_after_ns / NS:.2f} s is late"
    )
