"""QEMU's migration loop page by page, written from QEMU's source (migration/migration.c, migration/ram.c and
migration/cpu-throttle.c, as of version 10) and from no model: what the mechanism of `predict` is held against.

Kept: the order of the loop, the estimate and the exact count of what is pending, the threshold by the rate of the last
100 ms, the turns of 50 ms that look at the clock each 64 pages, max-bandwidth and max-postcopy-bandwidth by what a
window of 100 ms may send, the scan that goes round the memory, the look at the bitmap that counts only pages which were
clean, the judgement over periods of a second, the throttle and its timer, the last look when the guest stands, XBZRLE's
cache with its slots and overflows, what query-migrate counts. Left out: devices, block migration, errors, dirty limits.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAGE, HEADER, ZERO_PAGE = 4096, 8, 9
MAX_WAIT_MS, BUFFER_DELAY_MS, SYNC_TIMER_MS = 50, 100, 5000
ZERO_BPS = 14e9
HOUR_S = 3600.0
CACHED_PAGE_LIFETIME = 2
EXPECTED_PAGES = (2**11, 2**14)


@dataclass
class PagedGuest:
    """Memory of so many pages. rates: how often a second each is written, at random moments. zeros: which are empty."""

    rates: NDArray[np.float64]
    zeros: NDArray[np.bool_]

    @classmethod
    def of(
        cls, mib: int, held_mib: int, *writers: tuple[int, float], seed: int = 1, top_bytes: float | None = None
    ) -> "PagedGuest":
        """writers: each a working set in MiB and how many bytes of pages it writes in a second, at random pages.
        top_bytes: of what is held, so much lies behind all that is empty, the rest before; None: it is scattered."""
        random = np.random.default_rng(seed)
        pages, held = mib * 256, held_mib * 256
        top = round((top_bytes or 0.0) / PAGE)
        order = random.permutation(pages if top_bytes is None else held - top)
        rates, zeros = np.zeros(pages), np.ones(pages, dtype=bool)
        zeros[order[: held - top]] = zeros[pages - top :] = False
        begin = 0
        for size, rate in writers:
            mine = order[begin : begin + size * 256]
            rates[mine] = rate / PAGE / len(mine)
            begin += size * 256
        return cls(rates, zeros)


@dataclass
class Result:
    ended: bool
    time_s: float
    pause_s: float
    data_bytes: float
    looks: int
    throttle: float


@dataclass
class Loop:
    """One migration.

    limit_ms: the downtime limit at a time in s. start_postcopy_after: looks after which the user asks for post-copy;
    start_postcopy_s: or when. slows: initial, increment and maximum of the throttle in per cent. wire_share: what
    compression leaves of a page, of all or of each; page_s: CPU time for a page, if that is longer than the link takes;
    postcopy_Bps: what the destination takes of single pages, where that is less than the link. buffer_bytes: what a
    socket takes in at once before it waits for the link; the caller adds what it takes to go over. xbzrle: pages that
    its cache holds; delta_share: what an encoded difference takes of a page, 1 and more for one that overflows. busy:
    the share of its
    processor that the guest needs for what it writes; a throttle below 1 - busy takes nothing from it. at_turn: called
    after each turn. max_bandwidth: bytes a second that it may send until the guest is stopped, and in post-copy; 0 for
    as many as the link carries. passes_began: when, as the event MIGRATION_PASS says.
    """

    guest: PagedGuest
    link_Bps: float
    limit_ms: Callable[[float], float]
    slows: tuple[int, int, int] | None = None
    start_postcopy_after: int | None = None
    start_postcopy_s: float = HOUR_S
    wire_share: float | NDArray[np.float64] = 1.0
    page_s: float = 0.0
    postcopy_Bps: float = 0.0
    xbzrle: int = 0
    delta_share: float = 1.0
    busy: float = 1.0
    buffer_bytes: float = 0.0
    max_bandwidth: float = 0.0
    at_turn: Callable[["Loop"], None] = lambda loop: None
    until_s: float = HOUR_S
    seed: int = 1
    status: str = "active"
    now: float = 0.0
    normal: int = 0
    zero_pages: int = 0
    xbzrle_pages: int = 0
    xbzrle_overflow: int = 0
    dirty_pages_rate: float = 0.0
    transferred: float = 0.0
    dirty_sync_count: int = 0
    passes_began: dict[int, float] = field(default_factory=dict)
    throttle_pct: int = 0
    dirty_rate_high_cnt: int = 0
    num_dirty_pages_period: int = 0
    bytes_xfer_prev: float = 0.0
    time_last_bitmap_sync: float = 0.0
    threshold_size: float = 0.0
    iteration_start_time: float = 0.0
    iteration_initial_bytes: float = 0.0
    last_page: int = 0
    timer_ms: float = SYNC_TIMER_MS
    timer_sync_count: int = 0
    stopped: bool = False
    bmap: NDArray[np.bool_] = field(init=False)
    log: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.bmap = np.ones(len(self.guest.rates), dtype=bool)
        self.log = np.zeros(len(self.guest.rates), dtype=bool)
        self.written = np.flatnonzero(self.guest.rates)
        # all pages of a writer have one rate
        self.rates, self.rate_of = np.unique(self.guest.rates[self.written], return_inverse=True)
        whole = PAGE * self.wire_share + HEADER
        self.wire = np.where(self.guest.zeros, float(ZERO_PAGE), whole)
        self.slots = np.full(max(1, self.xbzrle), -1)
        self.ages = np.zeros(max(1, self.xbzrle), dtype=int)

    def run(self) -> Result:
        self.migration_bitmap_sync()
        while self.now < self.until_s:
            pending = self.pending_estimate()
            if pending < self.threshold_size:
                self.migration_bitmap_sync()
                pending = self.pending_estimate()
            asked = self.start_postcopy_after is not None and self.dirty_sync_count > self.start_postcopy_after
            if asked or self.now >= self.start_postcopy_s:
                return self.postcopy()
            if not pending or pending < self.threshold_size:
                return self.migration_completion()
            self.ram_save_iterate()
            self.migration_rate_limit()
            if self.slows is not None and 1000 * self.now >= self.timer_ms:
                self.cpu_throttle_dirty_sync_timer_tick()
            self.at_turn(self)
        return Result(False, self.now, 0.0, self.transferred, self.dirty_sync_count, self.throttle_pct / 100)

    def pending_estimate(self) -> float:
        return float(np.count_nonzero(self.bmap)) * PAGE

    def passes(self, seconds: float) -> None:
        """Time in which the guest writes, as far as it is let."""
        self.now += seconds
        if not self.stopped:
            runs = seconds * min(1.0, (1 - self.throttle_pct / 100) / self.busy)
            chances = -np.expm1(-self.rates * runs)[self.rate_of]
            self.log[self.written[self.random.random(len(self.written)) < chances]] = True

    def ram_save_iterate(self) -> None:
        dirty = np.flatnonzero(self.bmap)
        begin = int(np.searchsorted(dirty, self.last_page))
        sent, wire, took_s = self.turn(np.concatenate([dirty[begin:], dirty[:begin]]))
        self.send(sent, wire)
        self.last_page = int(sent[-1]) + 1 if len(sent) else 0
        self.passes(took_s)

    def turn(self, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
        """Of the dirty pages, in their order, those that go in one turn, the bytes of each, and the seconds they take.
        It looks at more and more of them, because a turn has time for few of many."""
        for most in (*EXPECTED_PAGES, len(order)):
            pages = order[:most]
            wire = self.wires(pages)
            took = np.cumsum(self.takes(pages, wire))
            checked = took[64::64]  # the clock is looked at before each 64th page after the first
            over = np.flatnonzero((1000 * (took[63::64][: len(checked)])).astype(int) > MAX_WAIT_MS)
            if len(over) or most >= len(order):
                break
        count = int(64 * (over[0] + 1) + 1) if len(over) else len(order)
        if self.max_bandwidth:  # the page that exceeds the rate is sent as a whole
            count = min(count, int(np.searchsorted(np.cumsum(wire), self.rate_left())) + 1)
        return pages[:count], wire[:count], float(took[count - 1]) if count else 0.0

    def takes(self, pages: NDArray[np.int64], wire: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds for each page: the link's or the processor's, whichever is slower."""
        rate = self.postcopy_Bps if self.stopped and self.postcopy_Bps else self.link_Bps
        buffered = np.cumsum(wire) <= self.buffer_bytes - self.transferred
        link_s = np.where(buffered, 0.0, wire / rate)
        return np.where(self.guest.zeros[pages], PAGE / ZERO_BPS + link_s, np.maximum(link_s, self.page_s))

    def cached(self, pages: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of them XBZRLE's cache holds: after the first round, a page in a slot of its own number."""
        if not self.xbzrle or self.dirty_sync_count < 2 or self.status != "active":
            return np.zeros(len(pages), dtype=bool)
        held: NDArray[np.bool_] = self.slots[pages % self.xbzrle] == pages
        return held

    def wires(self, pages: NDArray[np.int64]) -> NDArray[np.float64]:
        """Bytes on the link for each."""
        encoded = PAGE * self.delta_share + HEADER + 3
        hits = self.cached(pages) & (self.delta_share < 1)
        return np.where(hits & ~self.guest.zeros[pages], encoded, self.wire[pages])

    def send(self, sent: NDArray[np.int64], wire: NDArray[np.float64]) -> None:
        zeros = self.guest.zeros[sent]
        hits = self.cached(sent) & ~zeros
        overflows = hits if self.delta_share >= 1 else np.zeros_like(hits)
        self.xbzrle_pages += int(hits.sum())
        self.xbzrle_overflow += int(overflows.sum())
        self.zero_pages += int(zeros.sum())
        self.normal += int((~zeros & (~hits | overflows)).sum())
        if self.xbzrle and self.dirty_sync_count > 1:
            missed = sent[~zeros & ~hits]
            slots = missed % self.xbzrle
            free = (self.slots[slots] < 0) | (self.ages[slots] + CACHED_PAGE_LIFETIME <= self.dirty_sync_count)
            self.slots[slots[free]] = missed[free]
            used = np.concatenate([slots[free], sent[hits] % self.xbzrle])
            self.ages[used] = self.dirty_sync_count
        self.bmap[sent] = False
        self.transferred += float(wire.sum())

    def rate_left(self) -> float:
        """Bytes that may still be sent in this window."""
        sent = self.transferred - self.iteration_initial_bytes
        return self.max_bandwidth * BUFFER_DELAY_MS / 1000 - sent

    def migration_rate_limit(self) -> None:
        """Waits for the next window where the rate is exceeded."""
        self.migration_update_counters()
        if self.max_bandwidth and self.rate_left() <= 0:
            self.passes(self.iteration_start_time + BUFFER_DELAY_MS / 1000 - self.now)
            self.migration_update_counters()

    def migration_update_counters(self) -> None:
        spent_ms = round(1000 * (self.now - self.iteration_start_time), 6)  # else a wait may end just before its window
        if spent_ms < BUFFER_DELAY_MS:
            return
        bandwidth = (self.transferred - self.iteration_initial_bytes) / spent_ms
        self.threshold_size = bandwidth * self.limit_ms(self.now)
        self.iteration_start_time, self.iteration_initial_bytes = self.now, self.transferred

    def migration_bitmap_sync(self) -> None:
        self.dirty_sync_count += 1
        self.passes_began[self.dirty_sync_count] = self.now
        self.num_dirty_pages_period += int(np.count_nonzero(self.log & ~self.bmap))
        self.bmap |= self.log
        self.log[:] = False
        if self.now > self.time_last_bitmap_sync + 1.0:
            self.migration_trigger_throttle()
            self.dirty_pages_rate = self.num_dirty_pages_period / (self.now - self.time_last_bitmap_sync)
            self.time_last_bitmap_sync = self.now
            self.num_dirty_pages_period = 0
            self.bytes_xfer_prev = self.transferred

    def migration_trigger_throttle(self) -> None:
        xfer = self.transferred - self.bytes_xfer_prev
        if self.num_dirty_pages_period * PAGE > xfer * 50 / 100:
            self.dirty_rate_high_cnt += 1
            if self.dirty_rate_high_cnt >= 2:
                self.dirty_rate_high_cnt = 0
                if self.slows is not None:
                    initial, increment, most = self.slows
                    self.throttle_pct = min(self.throttle_pct + increment, most) if self.throttle_pct else initial

    def cpu_throttle_dirty_sync_timer_tick(self) -> None:
        if self.dirty_sync_count > 1 and self.dirty_sync_count == self.timer_sync_count:
            self.migration_bitmap_sync()
        self.timer_sync_count = self.dirty_sync_count
        self.timer_ms = 1000 * self.now + SYNC_TIMER_MS

    def migration_completion(self) -> Result:
        self.stopped = True
        self.migration_bitmap_sync()
        stopped_at = self.now
        self.send_rest()
        pause = self.now - stopped_at
        return Result(True, self.now, pause, self.transferred, self.dirty_sync_count, self.throttle_pct / 100)

    def postcopy(self) -> Result:
        self.stopped = True
        self.migration_bitmap_sync()
        self.status = "postcopy-active"
        while self.bmap.any():
            self.at_turn(self)
            self.ram_save_iterate()
            self.migration_rate_limit()
        return Result(True, self.now, 0.0, self.transferred, self.dirty_sync_count, self.throttle_pct / 100)

    def send_rest(self) -> None:
        rest = np.flatnonzero(self.bmap)
        wire = self.wires(rest)
        self.send(rest, wire)
        self.passes(float(self.takes(rest, wire).sum()))

    def query_migrate(self) -> dict[str, Any]:
        """What the monitor answers."""
        answer: dict[str, Any] = {
            "status": self.status,
            "ram": {
                "total": len(self.bmap) * PAGE,
                "remaining": np.count_nonzero(self.bmap) * PAGE,
                "transferred": int(self.transferred),
                "page-size": PAGE,
                "normal": self.normal,
                "duplicate": self.zero_pages,
                "dirty-sync-count": self.dirty_sync_count,
                "dirty-pages-rate": int(self.dirty_pages_rate),
            },
        }
        if self.slows is not None:
            answer["cpu-throttle-percentage"] = self.throttle_pct
        if self.xbzrle:
            answer["xbzrle-cache"] = {"pages": self.xbzrle_pages, "overflow": self.xbzrle_overflow}
        return answer
