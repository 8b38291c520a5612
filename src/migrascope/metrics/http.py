"""HTTP blackout: how long visitors were not answered in time, from open-loop visits."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from migrascope.metrics.packets import NS, Bools, Ints, Span, inside
from migrascope.metrics.windows import SECOND, Windows
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "visit"
KINDS = ("new", "kept")
LEAST_LATE_NS = 100_000_000


@dataclass(frozen=True)
class Visits:
    """Visits of one kind by due time. done_ns is 0 where no answer came whole."""

    due_ns: Ints
    done_ns: Ints
    failed: Bools

    @classmethod
    def of(cls, table: pl.DataFrame, kind: str) -> "Visits":
        """The visits of that kind from a `visit` table."""
        rows = table.filter(pl.col("kind") == kind).sort("due_ns")
        failed = (rows["error"] != "").to_numpy() | (rows["done_ns"] == 0).to_numpy()
        return cls(rows["due_ns"].to_numpy(), rows["done_ns"].to_numpy(), failed)

    def __len__(self) -> int:
        return len(self.due_ns)

    def late_after_ns(self, before: Span) -> float:
        """Later than this is late: 100 ms, or three times the p99 of the answers to visits due in the span."""
        chosen = inside(self.due_ns, before) & ~self.failed
        took = (self.done_ns - self.due_ns)[chosen]
        return max(LEAST_LATE_NS, 3 * float(np.percentile(took, 99))) if len(took) else float(LEAST_LATE_NS)

    def late(self, late_after_ns: float) -> Bools:
        """Those that were answered, but late."""
        return np.asarray(~self.failed & (self.done_ns - self.due_ns > late_after_ns), dtype=np.bool_)


@dataclass(frozen=True)
class Blackout:
    """From the due time of the first failed or late visit to that of the first visit from which 1 s is in time, mono
    ns; both 0 where every visit was in time. seconds is None where no such second was seen."""

    start_ns: int
    end_ns: int
    seconds: float | None
    failed: int
    late: int
    worst_s: float | None


def blackout(visits: Visits, late_after_ns: float, span: Span) -> Blackout:
    """The blackout that overlaps the span (the switchover, or a known hold), and the worst visit and the counts of
    those failed and late among the visits that overlap it."""
    late = visits.late(late_after_ns)
    bad = late | visits.failed
    ends = np.maximum(visits.done_ns, visits.due_ns + np.where(visits.failed, round(late_after_ns), 0))
    overlaps = (visits.due_ns < span[1]) & (ends >= span[0])
    answered = overlaps & (visits.done_ns > 0)
    worst = float((visits.done_ns - visits.due_ns)[answered].max()) / NS if answered.any() else None
    failed_count, late_count = int((overlaps & visits.failed).sum()), int((overlaps & late).sum())
    first = np.flatnonzero(bad & overlaps)
    if not len(first):
        return Blackout(0, 0, 0.0, failed_count, late_count, worst)
    start = int(visits.due_ns[first[0]])
    end = _first_good_second(visits.due_ns, bad, int(first[0]))
    seconds = None if end is None else (end - start) / NS
    return Blackout(start, end or 0, seconds, failed_count, late_count, worst)


def _first_good_second(due: Ints, bad: Bools, after: int) -> int | None:
    worst = np.flatnonzero(bad)
    spacing = round(float(np.median(np.diff(due)))) if len(due) > 1 else 0
    following = np.searchsorted(worst, np.arange(len(due)))
    next_bad = np.append(due[worst], np.iinfo(np.int64).max)[following]
    good = ~bad & (next_bad >= due + SECOND) & (due + SECOND <= due[-1] + spacing)
    good[:after] = False
    found = np.flatnonzero(good)
    return int(due[found[0]]) if len(found) else None


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
        found |= _kind(kind, visits, late_after, blackout(visits, late_after, windows.switchover))
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
        worst_key: missing("s", SOURCE, "no visit around the switchover was answered"),
    }
    if seen.worst_s is not None:
        found[worst_key] = Measured(seen.worst_s, "s", SOURCE, samples=len(visits))
    why = _untold(late_after_ns, seen)
    if why is not None or seen.seconds is None:
        found[blackout_key] = missing("s", SOURCE, why or "no second of visits all in time came after it")
    else:
        found[blackout_key] = Measured(seen.seconds, "s", SOURCE, bound=spacing, samples=len(visits))
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
