"""Conditions over what the probes have written so far: is the workload steady, has the service recovered."""

from collections import deque
from math import floor
from pathlib import Path
from statistics import median

from migrascope.model.clock import clock_pair, mono_ns
from migrascope.model.family import FIRST, Family, source_of
from migrascope.model.steady import IN_TIME_SHARE, NS, OUTAGE_FACTOR, Due, in_time_share, unsteady
from migrascope.store.spool import Follower

GRACE_NS = 200_000_000
"""So long after it was due, what has come in time is written."""
RECOVERY_NS, _RECOVERY_INTERVALS = 500_000_000, 2
"""A service has recovered after so long without a lost probe, and so many intervals of the probes at least."""
_VIEWER_NS = 3_000_000_000
"""A viewer asks for a stretch of media at least so often."""
_LEDGER_NS = 15_000_000_000
_OUTRUN_NS = 6_000_000_000
"""So long arrivals must have outrun answers until it is given up that the guest catches up."""
_ANSWERED_NS = 12_000_000_000
"""Maximum time from when a visit is due until it is answered or has failed."""
_OUTRUN_SHARE = 0.8
_HOPELESS_SHARE = 0.5


class EchoWatch:
    """Follows the echo probe: which of the last requests have their reply. kept_s: how far back it can be asked."""

    def __init__(self, directory: Path, rate: float, kept_s: float = 10.0, *, family: Family = FIRST) -> None:
        source = source_of("echo", family)
        self._sent, self._replies = (
            Follower(directory / f"{table}@{source}.jsonl") for table in ("echo_sent", "echo_reply")
        )
        self._rate = rate
        self._recent: deque[tuple[int, int]] = deque(maxlen=max(1, round(rate * (kept_s + 1))))
        self._answered: dict[int, int] = {}
        self._outage_ns: int | None = None

    def update(self) -> None:
        self._recent.extend((seq, sent_ns) for seq, _, sent_ns in self._sent.rows())
        mono, wall = clock_pair()
        self._answered.update((seq, wall_ns - wall + mono) for seq, wall_ns, _ in self._replies.rows())

    def last_outage(self, since_ns: int) -> int | None:
        """The end (mono ns) of the last outage of probes sent since then, None before any: a reply that is later than
        usual by over OUTAGE_FACTOR intervals, or two probes in a row that have none after so long."""
        self.update()
        now = mono_ns()
        trips = [self._answered[seq] - sent for seq, sent in self._recent if seq in self._answered]
        late_ns = (median(trips) if trips else 0.0) + OUTAGE_FACTOR * NS / self._rate
        gone = 0
        for seq, sent in self._recent:
            arrived = self._answered.get(seq)
            if sent < since_ns or (arrived or now) - sent <= late_ns:
                gone = 0
                continue
            gone += 1
            if arrived is not None or gone > 1:
                self._outage_ns = max(self._outage_ns or 0, arrived or sent)
        return self._outage_ns

    def _share(self, from_ns: int, until_ns: int) -> tuple[int, float]:
        """How many were sent in [from, until), and the share of them that was answered."""
        seqs = [seq for seq, sent in self._recent if from_ns <= sent < until_ns]
        return len(seqs), sum(seq in self._answered for seq in seqs) / len(seqs) if seqs else 0.0

    def whole(self, from_ns: int, until_ns: int) -> bool:
        """Whether nine tenths of the rate, in whole probes, were sent in [from, until) and each was answered."""
        sent, answered = self._share(from_ns, until_ns)
        return sent >= floor(0.9 * self._rate * (until_ns - from_ns) / NS) and answered == 1.0

    def recovered(self, since_ns: int) -> int | None:
        """The start of the first 500 ms after `since_ns`, two intervals at least, in which no request was lost so far;
        None if not yet."""
        self.update()
        lost = [sent for seq, sent in self._recent if sent >= since_ns and seq not in self._answered]
        now = mono_ns() - GRACE_NS
        start = max([since_ns, *(sent + 1 for sent in lost if sent <= now)])
        until = start + max(RECOVERY_NS, round(_RECOVERY_INTERVALS * NS / self._rate))
        return start if until <= now and self.whole(start, until) else None

    def unsteady(self, from_ns: int, until_ns: int) -> str | None:
        """Why the window [from, until) is not steady: probes that were not sent, or not answered."""
        self.update()
        sent, answered = self._share(from_ns, until_ns)
        due = self._rate * (until_ns - from_ns) / NS
        if sent < 0.9 * due:
            return f"{sent} of {due:.0f} probes sent"
        return None if answered >= IN_TIME_SHARE else f"{100 * answered:.0f} % of probes answered"


class VisitWatch:
    """Follows the visitors. rates: visits a second of each kind that are to come. loaded: the plan declares a load in
    the guest."""

    def __init__(
        self, directory: Path, rates: dict[str, float], kept_s: float = 10.0, *, loaded: bool = False,
        family: Family = FIRST,
    ) -> None:  # fmt: skip
        self._visits = Follower(directory / f"visit@{source_of('visitors', family)}.jsonl")
        self._rates = {kind: rate for kind, rate in rates.items() if rate}
        self._loaded, self._kept_ns = loaded, round(kept_s * NS) + _OUTRUN_NS + _ANSWERED_NS
        self._recent: dict[str, deque[Due]] = {kind: deque() for kind in self._rates}
        self._first_ns: int | None = None

    def _update(self) -> None:
        for kind, _, due, _, _, _, done, _, _, _, error in self._visits.rows():
            self._first_ns = due if self._first_ns is None else min(self._first_ns, due)
            self._recent[kind].append(Due(due, 0 if error else done))
        oldest = mono_ns() - self._kept_ns
        for visits in self._recent.values():
            while visits and visits[0].due_ns < oldest:
                visits.popleft()

    def unsteady(self, from_ns: int, until_ns: int) -> str | None:
        """Why the window [from, until) is not steady."""
        self._update()
        for kind, rate in self._rates.items():
            if why := unsteady(list(self._recent[kind]), from_ns, until_ns, rate, loaded=self._loaded):
                return f"{why} ({kind})"
        return None

    def overload(self) -> str | None:
        """Why the guest will not catch up, or None: for a while it has answered fewer visits than came, and late."""
        self._update()
        now = mono_ns() - GRACE_NS
        since = now - _OUTRUN_NS
        if self._first_ns is None or self._first_ns > since:
            return None
        asked = sum(self._rates.values())
        due = asked * _OUTRUN_NS / NS
        visits = [visit for kept in self._recent.values() for visit in kept]
        answered = sum(since <= visit.done_ns < now for visit in visits)
        share = in_time_share((visit for visit in visits if since <= visit.due_ns < now), due)
        if answered >= _OUTRUN_SHARE * due or share >= _HOPELESS_SHARE:
            return None
        return f"this machine serves {answered * NS / _OUTRUN_NS:.0f} visits/s, the plan asks for {asked:g}"


class ViewerWatch:
    """Follows one viewer: steady when stretches of media came all through the window, none failed."""

    def __init__(self, directory: Path, source: str) -> None:
        self._segments = Follower(directory / f"segment@{source}.jsonl")
        self._recent: deque[tuple[int, str]] = deque(maxlen=200)

    def unsteady(self, from_ns: int, until_ns: int) -> str | None:
        """Why the window [from, until) is not steady."""
        for _, _, _, asked, done, _, _, error in self._segments.rows():
            self._recent.append((done or asked, error))
        came = [(done, error) for done, error in self._recent if min(from_ns, until_ns - _VIEWER_NS) <= done < until_ns]
        if failed := [error for done, error in came if error and done >= from_ns]:
            return f"media failed: {failed[-1]}"
        whole = [done for done, error in came if not error]
        return None if len(whole) >= 2 else "waits for media"


class LedgerWatch:
    """Follows the ledger: steady when a record has come. One that is not heard for 15 s, as where a firewall lies
    between, is not waited for any longer: the verdict names it."""

    def __init__(self, directory: Path) -> None:
        self._records = Follower(directory / "ledger@collector.jsonl")
        self._until_ns, self._heard = mono_ns() + _LEDGER_NS, False

    def unsteady(self, _from_ns: int, _until_ns: int) -> str | None:
        """Why it is not steady, whatever the window."""
        self._heard = self._heard or any(True for _ in self._records.rows())
        return None if self._heard or mono_ns() > self._until_ns else "no record yet"
