"""Conditions over what the probes have written so far: is the workload steady, has the service recovered."""

from collections import deque
from pathlib import Path

from migrascope.model.clock import mono_ns
from migrascope.store.spool import Follower

_GRACE_NS = 200_000_000
_STEADY_NS = 1_000_000_000
_RECOVERY_NS = 500_000_000
_SLOW_NS = 100_000_000
_VIEWER_NS = 3_000_000_000
_LEDGER_NS = 15_000_000_000


class EchoWatch:
    """Follows the echo probe: which of the last requests have their reply."""

    def __init__(self, directory: Path, rate: float) -> None:
        self._sent, self._replies = (
            Follower(directory / "echo_sent@echo.jsonl"),
            Follower(directory / "echo_reply@echo.jsonl"),
        )
        self._rate = rate
        self._recent: deque[tuple[int, int]] = deque(maxlen=round(rate * 10))
        self._answered: set[int] = set()

    def update(self) -> None:
        self._recent.extend((seq, sent_ns) for seq, _, sent_ns in self._sent.rows())
        self._answered.update(row[0] for row in self._replies.rows())

    def whole(self, from_ns: int, until_ns: int) -> bool:
        """Whether nine tenths of the rate were sent in [from, until) and every one of them was answered."""
        seqs = [seq for seq, sent in self._recent if from_ns <= sent < until_ns]
        enough = len(seqs) >= 0.9 * self._rate * (until_ns - from_ns) / 1e9
        return enough and all(seq in self._answered for seq in seqs)

    def recovered(self, since_ns: int) -> int | None:
        """The start of the first 500 ms after `since_ns` in which no request was lost so far; None if not yet."""
        self.update()
        lost = [sent for seq, sent in self._recent if sent >= since_ns and seq not in self._answered]
        now = mono_ns() - _GRACE_NS
        start = max([since_ns, *(sent + 1 for sent in lost if sent <= now)])
        return start if start + _RECOVERY_NS <= now and self.whole(start, start + _RECOVERY_NS) else None

    def steady(self) -> bool:
        self.update()
        now = mono_ns() - _GRACE_NS
        return self.whole(now - _STEADY_NS, now)


class VisitWatch:
    """Follows the visitors: steady when a second of visits of each kind came, all of them whole and in time."""

    def __init__(self, directory: Path, rate: float) -> None:
        self._visits = Follower(directory / "visit@visitors.jsonl")
        self._rate = rate
        self._recent: deque[tuple[int, int, str]] = deque(maxlen=max(1, round(rate * 10)))

    def steady(self) -> bool:
        for _, _, due, _, _, _, done, _, _, _, error in self._visits.rows():
            self._recent.append((due, done, error))
        now = mono_ns() - _GRACE_NS
        last = [visit for visit in self._recent if now - _STEADY_NS <= visit[0] < now]
        in_time = [visit for visit in last if not visit[2] and visit[1] - visit[0] < _SLOW_NS]
        return len(last) >= 0.9 * self._rate and len(in_time) >= 0.98 * len(last)


class ViewerWatch:
    """Follows one viewer: steady when two stretches of media came within three seconds, none failed."""

    def __init__(self, directory: Path, source: str) -> None:
        self._segments = Follower(directory / f"segment@{source}.jsonl")
        self._recent: deque[tuple[int, str]] = deque(maxlen=50)

    def steady(self) -> bool:
        for _, _, _, _, done, _, _, error in self._segments.rows():
            self._recent.append((done, error))
        last = [error for done, error in self._recent if done >= mono_ns() - _VIEWER_NS]
        return len(last) >= 2 and not any(last)


class LedgerWatch:
    """Follows the ledger: steady when a record has come. One that is not heard for 15 s, as where a firewall lies
    between, is not waited for any longer: the verdict names it."""

    def __init__(self, directory: Path) -> None:
        self._records = Follower(directory / "ledger@collector.jsonl")
        self._until_ns, self._heard = mono_ns() + _LEDGER_NS, False

    def steady(self) -> bool:
        self._heard = self._heard or any(True for _ in self._records.rows())
        return self._heard or mono_ns() > self._until_ns
