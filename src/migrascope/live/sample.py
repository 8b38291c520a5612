"""One answer to how far a migration is, whoever gave it: QEMU, libvirt or Nova."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from migrascope.live.writer import Writing

MS = 1e-3
NS = 1_000_000_000
SWITCHOVER = ("pre-switchover", "device")
"""QEMU's words for a guest that has been stopped to be moved."""
POST_COPY = ("postcopy-active", "postcopy-paused", "postcopy-recover", "postcopy-recover-setup")
OVER = ("completed", "failed", "cancelled", "cancelling")
_OUTGOING = 5
_RUNNING = 2


@dataclass(frozen=True)
class Sample:
    """How far a migration is, at_s after its request.

    state: QEMU's word for it. total, remaining: bytes of guest memory, and of it what is known to be dirty. sent: bytes
    of guest memory that were dealt with so far, zero_bytes: of it what held nothing but zeros; sent_is_exact: False
    where it was counted as it went over the link. transferred: bytes that went over the link. rounds: passes begun so
    far; None where nobody counts them. dirty_Bps, expected_downtime_s: QEMU's own, None where it has none yet.
    throttle: share of its time that the guest is held. looked_s: when the newest pass began, by QEMU's event, None
    where nobody heard of it. written_Bps: what the writer in the guest writes lately by its own count, None where there
    is none or it did not say.
    """

    at_s: float
    state: str
    total: int
    remaining: int
    sent: int
    zero_bytes: int
    transferred: int
    rounds: int | None
    dirty_Bps: float | None = None
    throttle: float = 0.0
    expected_downtime_s: float | None = None
    sent_is_exact: bool = True
    looked_s: float | None = None
    written_Bps: float | None = None

    def beside(self, passes: Mapping[int, float], writing: Writing | None) -> "Sample":
        """With what others knew by then: when each pass began, and what the writer in the guest does."""
        looked_s = passes.get(self.rounds) if self.rounds is not None else None
        return replace(self, looked_s=looked_s, written_Bps=writing.rate_Bps if writing is not None else None)


def of_qemu(answer: dict[str, Any], at_s: float) -> Sample | None:
    """Of an answer to query-migrate; None where it has no counts: nothing is migrated, or not yet."""
    ram = answer.get("ram")
    if not ram or not ram.get("total"):
        return None
    page = ram.get("page-size", 4096)
    encoded = answer.get("xbzrle-cache", {})
    # a page that is sent whole after all, for its difference takes more room, is counted among normal ones, too
    pages = ram.get("normal", 0) + ram.get("duplicate", 0) + encoded.get("pages", 0) - encoded.get("overflow", 0)
    expected = answer.get("expected-downtime")
    return Sample(
        at_s,
        str(answer.get("status", "")),
        ram["total"],
        ram.get("remaining", 0),
        pages * page,
        ram.get("duplicate", 0) * page,
        ram.get("transferred", 0),
        ram.get("dirty-sync-count"),
        (ram.get("dirty-pages-rate") or 0) * page or None,
        answer.get("cpu-throttle-percentage", 0) / 100,
        expected * MS if expected is not None else None,
    )


def of_libvirt(job: dict[str, Any], at_s: float) -> Sample | None:
    """Of libvirt's statistics of a running job; None where it is none that moves memory to another host."""
    if job.get("operation") != _OUTGOING or not job.get("memory_total"):
        return None
    page = job.get("memory_page_size", 4096)
    downtime = job.get("downtime")
    zero = job.get("memory_constant", 0) * page
    encoded = (job.get("compression_pages", 0) - job.get("compression_overflow", 0)) * page
    return Sample(
        at_s,
        "active" if job.get("type") in (1, _RUNNING) else "completed",
        job["memory_total"],
        job.get("memory_remaining", 0),
        job.get("memory_normal_bytes", 0) + zero + encoded,
        zero,
        job.get("memory_processed", 0),
        job.get("memory_iteration"),
        (job.get("memory_dirty_rate") or 0) * page or None,
        job.get("auto_converge_throttle", 0) / 100,
        downtime * MS if downtime is not None else None,
    )


def of_nova(running: list[dict[str, Any]], at_s: float) -> Sample | None:
    """Of an answer to /servers/{id}/migrations; None where Nova has not counted yet. It counts no rounds."""
    counted = [row for row in running if row.get("memory_total_bytes")]
    if not counted:
        return None
    newest = counted[-1]
    done = newest.get("memory_processed_bytes") or 0
    return Sample(
        at_s, "active", newest["memory_total_bytes"], newest.get("memory_remaining_bytes") or 0, done, 0, done, None,
        sent_is_exact=False,
    )  # fmt: skip
